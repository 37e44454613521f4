"""A collection that the original program filled is taken over: by the command, from S3, with 3,072 dimensions."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support import openai_server as openai
from tests.support.milvus_server import milvus_server, why_not
from tests.support.ministack import running_ministack

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "company"
FOLDER = "Milvus/HR"
KEPT = "<table><tr><td>휴가 15일</td></tr></table>"


class Company:
    """The bucket, OpenAI's stand-in, a Milvus, and the original program that fills it."""

    def __init__(self, folder: Path, uri: str, stack: ExitStack) -> None:
        self.folder = folder
        self.uri = uri
        ministack = stack.enter_context(running_ministack(folder))
        self.openai = stack.enter_context(openai.openai_server())
        session = boto3.session.Session(ministack.access_key_id, ministack.secret_access_key, region_name="us-east-1")
        self.s3 = session.client("s3", endpoint_url=ministack.endpoint_url)
        self.s3.create_bucket(Bucket=BUCKET)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("S2M_", "AWS_"))}
        self.environment = inherited | {
            "OPENAI_API_KEY": openai.KEY,
            "UPSTAGE_API_KEY": "up_unused",
            "AWS_ACCESS_KEY": ministack.access_key_id,
            "AWS_SECRET_KEY": ministack.secret_access_key,
            "S2M_PROFILE": "cloud",
            "S2M_PARSER__KIND": "text",
            "S2M_JOURNAL__KIND": "log",
            "S2M_SOURCE": f"s3://{BUCKET}",
            "S2M_DATA_DIR": str(folder / "data"),
            "S2M_STORE__S3__ENDPOINT_URL": ministack.endpoint_url,
            "S2M_STORE__S3__REGION": ministack.region,
            "S2M_EMBEDDER__OPENAI__BASE_URL": self.openai.url,
            "S2M_VECTOR_STORE__MILVUS__URI": uri,
        }
        self._events: list[dict[str, Any]] = []

    def put(self, name: str, text: str) -> str:
        """An object; its date as the original wrote it."""
        key = f"{FOLDER}/{name}"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        return str(self.s3.head_object(Bucket=BUCKET, Key=key)["LastModified"])

    def event(self, name: str, date: str, *texts: str, kind: str = "upload") -> None:
        """What the original's service was told; done by `run_original`."""
        self._events.append(
            {"collection": "HR", "type": kind, "file_name": name, "file_date": date, "texts": list(texts)}
        )

    def run_original(self) -> None:
        lines = "".join(f"{json.dumps(event)}\n" for event in self._events)
        command = [sys.executable, "-m", "tests.support.original_system", self.uri]
        subprocess.run(command, input=lines, text=True, cwd=ROOT, check=True, timeout=250, capture_output=True)

    def run(self, *arguments: str, code: int = 0) -> Any:
        """A command of ours, its answer as JSON."""
        command = [sys.executable, "-m", "s3_to_milvus.cli.main", *arguments, "--json"]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, text=True, capture_output=True, timeout=250
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def rows(self, name: str = "HR") -> list[tuple[str, str]]:
        """What another reader of Milvus finds under this name, in a process of its own."""
        script = (
            "import json, sys; from pymilvus import MilvusClient; from tests.support.original_system import rows_of;"
            "print(json.dumps(rows_of(MilvusClient(sys.argv[1]), sys.argv[2])))"
        )
        command = [sys.executable, "-c", script, self.uri, name]
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=120, check=True)
        return [(file_name, text) for file_name, text in json.loads(done.stdout.splitlines()[-1])]

    def embedded(self) -> list[str]:
        return [text for request in self.openai.requests for text in request["input"]]


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.soak)])
def company(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Company]:
    with ExitStack() as stack:
        uri = str(tmp_path / "milvus.db")
        if request.param == "server":
            if reason := why_not():
                pytest.skip(reason)
            uri = stack.enter_context(milvus_server(tmp_path))
        yield Company(tmp_path, uri, stack)


def _fill(company: Company) -> None:
    """Ten years of use, in short: what is right, and each weakness of the original."""
    old = "2023-04-05 10:00:00+00:00"
    company.event("휴가.txt", company.put("휴가.txt", "휴가"), KEPT, "<p>2</p>")
    twice = company.put("질문.txt", "질문")
    for kind in ("upload", "upload without delete"):  # the event came twice
        company.event("질문.txt", twice, "<p>Q1</p>", "<p>Q2</p>", kind=kind)
    company.event("연봉.txt", old, "<p>2023</p>")  # the delete was lost, then it was replaced
    company.event("연봉.txt", company.put("연봉.txt", "연봉"), "<p>2024</p>", kind="upload without delete")
    company.event("규정.txt", old, "<p>old rules</p>")  # the event of its new version was lost
    company.put("규정.txt", "새 규정")
    company.event("안내.txt", old, "<p>gone</p>")  # the event of its removal was lost
    company.event("양식.txt", company.put("2023/양식.txt", "양식 2023"), "<p>form</p>")  # one name for two
    company.event("양식.txt", company.put("2024/양식.txt", "양식 2024"), "<p>form</p>")
    company.put("신규.txt", "새 문서")  # never indexed
    company.put("\"'.txt", "따옴표")  # its filter could not be parsed: never indexed
    company.run_original()


def test_the_original_s_collection_is_taken_over_and_kept_exact(company: Company) -> None:
    _fill(company)
    before = company.rows()

    plan = company.run("adopt", "--collection", "HR")[0]
    copied = {each["key"].removeprefix(f"{FOLDER}/"): (each["rows"], each["dropped"]) for each in plan["copied"]}
    assert copied == {"휴가.txt": (2, 0), "질문.txt": (2, 2), "연봉.txt": (1, 1)}
    left = {each["file_name"]: each["why"] for each in plan["left"]}
    assert left == {"규정.txt": "stale", "안내.txt": "orphan", "양식.txt": "ambiguous"}
    assert len(plan["read"]) == 5
    assert "result" not in plan
    assert plan["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert company.rows() == before
    assert len(company.embedded()) == 3  # compared

    done = company.run("adopt", "--collection", "HR", "--apply")[0]["result"]
    assert {name: done[name] for name in ("copied", "read", "embedded", "is_switched")} == {
        "copied": 3,
        "read": 5,
        "embedded": 5,
        "is_switched": True,
    }
    paid = "\n".join(company.embedded()[6:])
    assert not any(text in paid for text in (KEPT, "Q1", "2024</p>"))

    wanted = [
        ("휴가.txt", KEPT),
        ("휴가.txt", "<p>2</p>"),
        ("질문.txt", "<p>Q1</p>"),
        ("질문.txt", "<p>Q2</p>"),
        ("연봉.txt", "<p>2024</p>"),
        ("규정.txt", "새 규정"),
        ("양식.txt", "양식 2023"),
        ("양식.txt", "양식 2024"),
        ("신규.txt", "새 문서"),
        ("\"'.txt", "따옴표"),
    ]
    assert company.rows() == sorted(wanted)  # under the name that it had
    assert company.rows("HR_original") == before
    _live_on(company, wanted)


def _live_on(company: Company, wanted: list[tuple[str, str]]) -> None:
    """Replace, add and delete, as if there had never been another system; then the original's rows may go."""
    embedded = len(company.embedded())
    assert company.run("sync", f"s3://{BUCKET}")["unchanged"] == 8
    assert len(company.embedded()) == embedded
    company.put("휴가.txt", "휴가 20일")
    company.s3.delete_object(Bucket=BUCKET, Key=f"{FOLDER}/질문.txt")
    report = company.run("sync", f"s3://{BUCKET}")
    assert (report["changed"], report["removed"], report["embedded"]) == (1, 1, 1)
    expected = [row for row in wanted if row[0] not in ("휴가.txt", "질문.txt")] + [("휴가.txt", "휴가 20일")]
    assert company.rows() == sorted(expected)
    assert company.run("check") == {"ok": True, "missing": [], "stale": [], "orphaned": []}
    assert company.run("adopt", "--collection", "HR")[0]["is_over"]
    company.run("adopt", "--collection", "HR", "--drop-original")
    with pytest.raises(subprocess.CalledProcessError):
        company.rows("HR_original")
    assert company.rows() == sorted(expected)


def test_a_service_started_over_the_original_s_collection_says_what_to_do(company: Company) -> None:
    company.event("휴가.txt", company.put("휴가.txt", "휴가"), KEPT)
    company.run_original()
    before = company.rows()
    command = [sys.executable, "-m", "s3_to_milvus.cli.main", "sync"]
    started = time.monotonic()
    done = subprocess.run(
        command, env=company.environment, cwd=company.folder, text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 7, done.stderr
    assert "The collection HR was made by the original system" in done.stderr
    assert "s3-to-milvus adopt --collection HR" in done.stderr
    assert time.monotonic() - started < 60
    assert company.rows() == before
    assert company.embedded() == []
    # What it had begun stands in the way of nothing.
    done_at_last = company.run("adopt", "--collection", "HR", "--apply")[0]["result"]
    assert (done_at_last["copied"], done_at_last["embedded"], done_at_last["is_switched"]) == (1, 0, True)
    assert company.rows() == before
