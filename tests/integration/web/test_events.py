"""`POST /process_s3_event`: durable before it answers, clear when it refuses."""

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.errors import Unavailable
from tests.support.application import BUCKET, FakeApplication, until
from tests.support.web import is_problem


@pytest.mark.parametrize(("kind", "status"), [("upload", "Processing initiated"), ("delete", "Deletion initiated")])
def test_an_event_is_durable_before_it_is_answered(
    application: FakeApplication, client: TestClient, kind: str, status: str
) -> None:
    application.mirror.pool.stop()
    body = {"bucket_name": BUCKET, "file_key": "새 문서.txt", "event_type": kind}
    response = client.post("/process_s3_event", json=body)
    assert response.status_code == 202
    assert response.json() == {"status": status, **body}
    found = application.ledger.status(ObjectRef(BUCKET, "새 문서.txt"))
    assert found is not None
    assert found.state is ObjectState.WAITING


def test_an_event_never_decides_what_happened(application: FakeApplication, client: TestClient) -> None:
    body = {"bucket_name": BUCKET, "file_key": "guides/start.md", "event_type": "delete"}
    assert client.post("/process_s3_event", json=body).status_code == 202
    until(lambda: len(application.mirror.timeline(ObjectRef(BUCKET, "guides/start.md"))) == 2)
    assert application.mirror.status().counts.indexed == 2


def test_a_key_of_two_meanings_marks_both(application: FakeApplication, client: TestClient) -> None:
    application.mirror.pool.stop()
    body = {"bucket_name": BUCKET, "file_key": "a%20b+c.txt", "event_type": "upload"}
    assert client.post("/process_s3_event", json=body).status_code == 202
    for key in ("a%20b+c.txt", "a b c.txt"):
        assert application.ledger.status(ObjectRef(BUCKET, key)) is not None


def test_folders_and_foreign_buckets_are_left_alone(application: FakeApplication, client: TestClient) -> None:
    folder = client.post("/process_s3_event", json={"bucket_name": BUCKET, "file_key": "new/", "event_type": "upload"})
    assert (folder.status_code, folder.json()["status"]) == (202, "Folder creation event ignored")
    foreign = client.post("/process_s3_event", json={"bucket_name": "x", "file_key": "k", "event_type": "upload"})
    assert (foreign.status_code, foreign.json()["status"]) == (202, "ignored")
    assert foreign.json()["reason"]
    assert application.ledger.status(ObjectRef("x", "k")) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"bucket_name": "docs", "file_key": "k"}',
        b'{"bucket_name": "docs", "file_key": "k", "event_type": "explode"}',
        b'{"bucket_name": "docs", "file_key": "", "event_type": "upload"}',
        b'{"bucket_name": "", "file_key": "k", "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": 5, "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": "\\ud800", "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": "\xff", "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": "' + b"k" * 5000 + b'", "event_type": "upload"}',
        b"[" * 100_000,
    ],
)
def test_a_bad_event_is_refused_in_words(client: TestClient, body: bytes) -> None:
    response = client.post("/process_s3_event", content=body, headers={"Content-Type": "application/json"})
    assert is_problem(response, 422, "invalid_request")
    assert len(response.content) < 2_000


def test_an_event_that_could_not_be_kept_is_not_accepted(
    application: FakeApplication, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(*_: object) -> None:
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(application.ledger, "observe", observe)
    body = {"bucket_name": BUCKET, "file_key": "k.txt", "event_type": "upload"}
    assert is_problem(client.post("/process_s3_event", json=body), 503, "unavailable")
