"""`notion-setup`: the command makes the database; the service then writes to it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from s3_to_milvus.cli.main import main
from tests.support.notion_server import TOKEN, notion_server

_PAGE = f"https://app.notion.com/p/Team-{'0a' * 16}"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2M_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("NOTION_TOKEN", raising=False)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["notion-setup", *arguments])


def test_the_database_that_is_made_can_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with notion_server() as server:
        monkeypatch.setenv("NOTION_TOKEN", TOKEN)
        monkeypatch.setenv("S2M_JOURNAL__NOTION__BASE_URL", server.url)
        made = _run(_PAGE, "--json")
        assert made.exit_code == 0, made.output
        database = json.loads(made.stdout)["database_id"]
        said = _run(_PAGE)
        assert "S2M_JOURNAL__KIND=notion\nNOTION_DATABASE_ID=" in said.stdout
        assert TOKEN not in said.output

        monkeypatch.setenv("S2M_JOURNAL__KIND", "notion")
        monkeypatch.setenv("NOTION_DATABASE_ID", database)
        monkeypatch.setenv("S2M_EMBEDDER__KIND", "hash")
        findings = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
        assert [each["ok"] for each in findings["findings"] if each["name"] == "journal"] == [True]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without = _run(_PAGE)
    assert without.exit_code == 2
    assert "NOTION_TOKEN" in without.output
    monkeypatch.setenv("NOTION_TOKEN", TOKEN)
    nowhere = _run("https://www.notion.so/no-id-here")
    assert nowhere.exit_code == 2
    assert "Copy the link of the page" in nowhere.output
