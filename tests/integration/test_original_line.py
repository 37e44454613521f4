"""The original system's whole line, under the names it had: its settings, its event, its collections, its deletes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest

from tests.support import notion_server as notion
from tests.support import openai_server as openai
from tests.support import upstage_server as upstage
from tests.support.application import until
from tests.support.ministack import running_ministack
from tests.support.pdfs import make_pdf

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "company"


class Company:
    """The bucket, the three paid services, and our service as one process that knows them by the original names."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        ministack = stack.enter_context(running_ministack(folder))
        self.upstage = stack.enter_context(upstage.upstage_server())
        self.openai = stack.enter_context(openai.openai_server())
        self.notion = stack.enter_context(notion.notion_server())
        session = boto3.session.Session(ministack.access_key_id, ministack.secret_access_key, region_name="us-east-1")
        self.s3 = session.client("s3", endpoint_url=ministack.endpoint_url)
        self.s3.create_bucket(Bucket=BUCKET)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("S2M_", "AWS_"))}
        self.environment = inherited | {
            "UPSTAGE_API_KEY": upstage.KEY,
            "UPSTAGE_API_URL": self.upstage.url,
            "OPENAI_API_KEY": openai.KEY,
            "NOTION_TOKEN": notion.TOKEN,
            "NOTION_DATABASE_ID": self.notion.add_database(notion.ORIGINAL),
            "AWS_ACCESS_KEY": ministack.access_key_id,
            "AWS_SECRET_KEY": ministack.secret_access_key,
            "S2M_PROFILE": "cloud",
            "S2M_SOURCE": f"s3://{BUCKET}",
            "S2M_DATA_DIR": str(folder / "data"),
            "S2M_STORE__S3__ENDPOINT_URL": ministack.endpoint_url,
            "S2M_STORE__S3__REGION": ministack.region,
            "S2M_EMBEDDER__OPENAI__BASE_URL": self.openai.url,
            "S2M_JOURNAL__NOTION__BASE_URL": self.notion.url,
            "S2M_JOURNAL__NOTION__SETTLE_S": "0.2",
            "S2M_ENGINE__SCAN_INTERVAL_S": "0",  # only events from here on
        }

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", str(self.port)]
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.stack.callback(_end, process)
        until(self._is_ready, 60)

    def _is_ready(self) -> bool:
        try:
            return bool(self.ask("/readyz")["status"] == "ready")
        except (OSError, HTTPError):
            return False

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, {"Content-Type": "application/json"}), timeout=10) as answer:
            return json.load(answer)

    def tell(self, key: str, event_type: str) -> None:
        """What the original's Lambda sends."""
        self.ask("/process_s3_event", {"bucket_name": BUCKET, "file_key": key, "event_type": event_type})

    def embedded(self) -> int:
        """How many texts of documents were paid for; queries of this test left out."""
        return sum(text != "x" for request in self.openai.requests for text in request["input"])

    def is_idle(self) -> bool:
        counts = self.ask("/api/v1/status")["objects"]
        return not counts["waiting"] and not counts["running"]

    def found(self, collection: str = "") -> set[str]:
        """Keys that a search over everything (or one collection) brings."""
        try:
            hits = self.ask("/api/v1/search", {"query": "x", "top": 50, "collection": collection or None})["hits"]
        except HTTPError as refused:  # no such collection
            refused.close()
            return set()
        return {hit["key"] for hit in hits}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    with ExitStack() as stack:
        yield Company(tmp_path, stack)


def test_uploaded_changed_and_deleted_under_the_names_it_had(company: Company) -> None:
    company.start()
    rules, faq, elsewhere = "Milvus/rules/휴가 규정.pdf", "Milvus/faq/질문.txt", "private/급여.txt"
    company.s3.put_object(Bucket=BUCKET, Key=rules, Body=make_pdf([["Leave", "Fifteen days."]]))
    company.s3.put_object(Bucket=BUCKET, Key=faq, Body="자주 묻는 질문".encode())
    company.s3.put_object(Bucket=BUCKET, Key=elsewhere, Body="비밀".encode())
    for key in (rules, faq, elsewhere):
        company.tell(key, "upload")

    # A collection for each folder below Milvus/; what lies elsewhere is not read, nor paid for.
    until(lambda: company.found() == {rules, faq}, 60)
    assert (company.found("rules"), company.found("faq")) == ({rules}, {faq})
    assert len(company.upstage.posts) == 1
    assert {request["model"] for request in company.openai.requests} == {"text-embedding-3-large"}

    # Events that come twice are looked into, and cost nothing.
    embedded = company.embedded()
    company.tell(rules, "upload")  # marked as due before it is answered
    until(company.is_idle, 30)
    assert (len(company.upstage.posts), company.embedded()) == (1, embedded)

    # A changed file takes the place of the old one.
    company.s3.put_object(Bucket=BUCKET, Key=faq, Body="아주 다른 대답".encode())
    company.tell(faq, "upload")
    until(lambda: "아주 다른 대답" in _texts(company, faq), 30)
    assert "자주 묻는 질문" not in _texts(company, faq)
    assert company.embedded() == embedded + 1

    # A delete removes it; the word of a delete for what is still there does not.
    company.s3.delete_object(Bucket=BUCKET, Key=rules)
    company.tell(rules, "delete")
    company.tell(faq, "delete")
    until(lambda: company.found() == {faq}, 30)

    _expect_rows_and_silence(company, rules)


def _expect_rows_and_silence(company: Company, key: str) -> None:
    """A row for each job, in the database that the original wrote; no secret and no text in the log."""
    rows = company.notion.rows
    until(lambda: [notion.plain(row, "Title") for row in rows()].count(f"{BUCKET}/{key}") == 2, 30)
    assert {notion.plain(row, "Status") for row in rows()} == {"Passed"}
    said = company.log.read_text(encoding="utf-8", errors="replace")
    for secret in (notion.TOKEN, upstage.KEY, openai.KEY, "대답", "Fifteen"):
        assert secret not in said


def _texts(company: Company, key: str) -> str:
    hits = company.ask("/api/v1/search", {"query": "x", "top": 50})["hits"]
    return "\n".join(hit["text"] for hit in hits if hit["key"] == key)
