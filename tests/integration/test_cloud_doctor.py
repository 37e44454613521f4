"""`doctor` under the profile cloud: each paid service is asked with a harmless call; what is wrong is named."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from s3_to_milvus.cli.main import main
from tests.support import notion_server as notion
from tests.support import openai_server as openai
from tests.support import upstage_server as upstage

_KEYS = {"UPSTAGE_API_KEY": upstage.KEY, "OPENAI_API_KEY": openai.KEY, "NOTION_TOKEN": notion.TOKEN}


class Cloud:
    def __init__(self, stack: ExitStack) -> None:
        self.upstage = stack.enter_context(upstage.upstage_server())
        self.openai = stack.enter_context(openai.openai_server())
        self.notion = stack.enter_context(notion.notion_server())


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        cloud = Cloud(stack)
        given = _KEYS | {
            "UPSTAGE_API_URL": cloud.upstage.url,
            "NOTION_DATABASE_ID": cloud.notion.add_database(notion.ORIGINAL),
            "S2M_PROFILE": "cloud",
            "S2M_SOURCE": str(tmp_path / "docs"),
            "S2M_DATA_DIR": str(tmp_path / "data"),
            "S2M_EMBEDDER__OPENAI__BASE_URL": cloud.openai.url,
            "S2M_JOURNAL__NOTION__BASE_URL": cloud.notion.url,
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        yield cloud


def _findings() -> tuple[list[dict[str, Any]], str]:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    return json.loads(result.stdout)["findings"], result.output


def test_all_is_well_and_nothing_was_paid(cloud: Cloud) -> None:
    findings, said = _findings()
    assert [each for each in findings if not each["ok"] and not each["optional"]] == []
    assert cloud.upstage.posts == []
    assert cloud.notion.rows() == []
    assert not any(key in said for key in _KEYS.values())


@pytest.mark.parametrize("variable", _KEYS)
def test_a_wrong_key_is_named_by_its_variable(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "wrong-key-that-must-not-be-shown")
    findings, said = _findings()
    (bad,) = [each for each in findings if not each["ok"] and not each["optional"]]
    assert variable in bad["hint"]
    assert "wrong-key" not in said


def test_what_a_service_would_stumble_over_later_is_found_before(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sizes.txt").write_text("HR: 20, 5\n", encoding="utf-8")
    away = "http://127.0.0.1:1"
    for name, value in {
        "S2M_SPLITTER__RECURSIVE__PARAMS_FILE": str(tmp_path / "sizes.txt"),
        "S2M_SOURCE": "s3://*",
        "S2M_STORE__S3__ENDPOINT_URL": away,
        "S2M_STORE__S3__ACCESS_KEY_ID": "x",
        "S2M_STORE__S3__SECRET_ACCESS_KEY": "y",
        "S2M_EVENTS__KIND": "watch,sqs",
        "S2M_EVENTS__SQS__QUEUE_URL": f"{away}/000000000000/q",
        "S2M_EVENTS__SQS__ENDPOINT_URL": away,
        "S2M_EVENTS__SQS__REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
    }.items():
        monkeypatch.setenv(name, value)
    findings, _ = _findings()
    bad = {each["name"]: each["message"] for each in findings if not each["ok"]}
    assert {"splitter", "source s3://*", "events sqs"} <= bad.keys()
    assert "name|size|overlap" in bad["splitter"]
    assert away in bad["source s3://*"]
    assert "\\n" not in CliRunner().invoke(main, ["doctor"]).output


def test_a_database_that_is_not_shared_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTION_DATABASE_ID", "0" * 32)
    findings, _ = _findings()
    (bad,) = [each for each in findings if not each["ok"] and not each["optional"]]
    assert "Share the database" in bad["hint"]
