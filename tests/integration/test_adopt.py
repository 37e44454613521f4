"""A collection that the original program filled is taken over: by the command, from S3, with 3,072 dimensions."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.company import BUCKET, ROOT, Company
from tests.support.milvus_server import milvus_or_skip

FOLDER = "Milvus/HR"
KEPT = "<table><tr><td>휴가 15일</td></tr></table>"


class Heir(Company):
    """The original program fills its Milvus; then it is ours."""

    def __init__(self, folder: Path, stack: ExitStack, milvus: str) -> None:
        super().__init__(folder, stack, milvus, S2M_PARSER__KIND="text", S2M_JOURNAL__KIND="log")
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
        """The original's service, by the calls that it made."""
        lines = "".join(f"{json.dumps(event)}\n" for event in self._events)
        command = [sys.executable, "-m", "tests.support.original_system", self.milvus]
        subprocess.run(command, input=lines, text=True, cwd=ROOT, check=True, timeout=600, capture_output=True)

    def answer(self, *arguments: str) -> Any:
        """What a command of ours says in JSON."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def rows(self, name: str = "HR") -> list[tuple[str, str]]:
        """What another reader of Milvus finds under this name, in a process of its own."""
        script = (
            "import json, sys; from pymilvus import MilvusClient; from tests.support.original_system import rows_of;"
            "print(json.dumps(rows_of(MilvusClient(sys.argv[1]), sys.argv[2])))"
        )
        command = [sys.executable, "-c", script, self.milvus, name]
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=600, check=True)
        return [(file_name, text) for file_name, text in json.loads(done.stdout.splitlines()[-1])]

    def paid(self) -> list[str]:
        """Every text that was embedded."""
        return [text for request in self.openai.requests for text in request["input"]]


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.soak)])
def company(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Heir]:
    with ExitStack() as stack:
        uri = stack.enter_context(milvus_or_skip(tmp_path)) if request.param == "server" else ""
        yield Heir(tmp_path, stack, uri)


def _fill(company: Heir) -> None:
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


def test_the_original_s_collection_is_taken_over_and_kept_exact(company: Heir) -> None:
    _fill(company)
    before = company.rows()

    plan = company.answer("adopt", f"s3://{BUCKET}", "--collection", "HR")[0]
    copied = {each["key"].removeprefix(f"{FOLDER}/"): (each["rows"], each["dropped"]) for each in plan["copied"]}
    assert copied == {"휴가.txt": (2, 0), "질문.txt": (2, 2), "연봉.txt": (1, 1)}
    left = {each["file_name"]: each["why"] for each in plan["left"]}
    assert left == {"규정.txt": "stale", "안내.txt": "orphan", "양식.txt": "ambiguous"}
    assert len(plan["read"]) == 5
    assert "result" not in plan
    assert plan["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert company.rows() == before
    assert len(company.paid()) == 3  # compared

    done = company.answer("adopt", f"s3://{BUCKET}", "--collection", "HR", "--apply")[0]["result"]
    assert {name: done[name] for name in ("copied", "read", "embedded", "is_switched")} == {
        "copied": 3,
        "read": 5,
        "embedded": 5,
        "is_switched": True,
    }
    paid = "\n".join(company.paid()[6:])
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


def _live_on(company: Heir, wanted: list[tuple[str, str]]) -> None:
    """Replace, add and delete, as if there had never been another system; then the original's rows may go."""
    embedded = len(company.paid())
    assert company.answer("sync", f"s3://{BUCKET}")["unchanged"] == 8
    assert len(company.paid()) == embedded
    company.put("휴가.txt", "휴가 20일")
    company.s3.delete_object(Bucket=BUCKET, Key=f"{FOLDER}/질문.txt")
    report = company.answer("sync", f"s3://{BUCKET}")
    assert (report["changed"], report["removed"], report["embedded"]) == (1, 1, 1)
    expected = [row for row in wanted if row[0] not in ("휴가.txt", "질문.txt")] + [("휴가.txt", "휴가 20일")]
    assert company.rows() == sorted(expected)
    assert company.answer("check") == {"ok": True, "missing": [], "stale": [], "orphaned": []}
    assert company.answer("adopt", f"s3://{BUCKET}", "--collection", "HR")[0]["is_over"]
    company.answer("adopt", f"s3://{BUCKET}", "--collection", "HR", "--drop-original")
    with pytest.raises(subprocess.CalledProcessError):
        company.rows("HR_original")
    assert company.rows() == sorted(expected)


def test_a_service_started_over_the_original_s_collection_says_what_to_do(company: Heir) -> None:
    company.event("휴가.txt", company.put("휴가.txt", "휴가"), KEPT)
    company.run_original()
    before = company.rows()
    started = time.monotonic()
    done = company.run("sync", f"s3://{BUCKET}", code=5)
    assert "The collection HR was made by the original system" in done.stderr
    assert "s3-to-milvus adopt --collection HR" in done.stderr
    assert time.monotonic() - started < 300
    assert company.rows() == before
    assert company.paid() == []
    # What it had begun stands in the way of nothing.
    done_at_last = company.answer("adopt", f"s3://{BUCKET}", "--collection", "HR", "--apply")[0]["result"]
    assert (done_at_last["copied"], done_at_last["embedded"], done_at_last["is_switched"]) == (1, 0, True)
    assert company.rows() == before
