"""`/api/v1`: retry, sync, check; and whether the service is well."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.errors import Unauthorized
from s3_to_milvus.web.app import create_app
from s3_to_milvus.web.door import TOKEN_FILE
from tests.support.application import BUCKET, FakeApplication, until
from tests.support.web import LOOPBACK, SCRIPT, ends, is_problem


def test_retry_takes_keys_or_all(application: FakeApplication, client: TestClient) -> None:
    answer = client.post("/api/v1/retry", json={"keys": [SCRIPT, "nobody"]})
    assert (answer.status_code, answer.json()) == (202, {"retried": 1, "unknown": ["nobody"]})
    until(lambda: len(application.mirror.timeline(ObjectRef(BUCKET, SCRIPT))) == 2)
    until(lambda: application.mirror.status().counts.failed == 1)
    assert client.post("/api/v1/retry", json={"all": True}).json()["retried"] == 1
    wrong: list[dict[str, Any]] = [{}, {"all": False}, {"all": True, "keys": ["a"]}, {"keys": []}]
    for body in wrong:
        assert is_problem(client.post("/api/v1/retry", json=body), 422, "invalid_request")


def test_a_sync_is_a_job_with_the_report_of_the_command(application: FakeApplication, client: TestClient) -> None:
    application.put("guides/new.md", "brand new")
    job = ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/"}))
    expected = {
        "source",
        "added",
        "changed",
        "removed",
        "unchanged",
        "failed",
        "empty",
        "chunks",
        "embedded",
        "tokens",
        "pages",
        "usd",
        "seconds",
    }
    assert set(job["report"]) == expected
    assert (job["report"]["added"], job["report"]["unchanged"], job["report"]["failed"]) == (1, 2, 1)
    assert [line["key"] for line in job["failures"]] == [SCRIPT]
    application.store.delete(BUCKET, "guides/new.md")
    dry = ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/", "dry_run": True}))
    assert dry["report"]["plan"] == [{"bucket": BUCKET, "key": "guides/new.md", "action": "remove"}]
    assert application.mirror.status().counts.indexed == 3


def test_a_source_is_only_added_by_who_can_read_the_data_folder(
    application: FakeApplication, client: TestClient, tmp_path: Path
) -> None:
    application.store.put("other", "a.txt", b"hello")
    body = {"source": "s3://other/"}
    assert is_problem(client.post("/api/v1/sync", json=body), 403, "unknown_source")
    wrong = client.post("/api/v1/sync", json=body, headers={b"Authorization": b"Bearer n\xc3\xa9"})
    assert wrong.status_code == 403
    token = tmp_path / TOKEN_FILE
    assert token.stat().st_mode & 0o777 == 0o600
    headers = {"Authorization": f"Bearer {token.read_text()}"}
    assert ends(client, client.post("/api/v1/sync", json=body, headers=headers))["report"]["added"] == 1


def test_a_removal_guard_ends_the_job_with_its_numbers(application: FakeApplication, client: TestClient) -> None:
    for key in application.store.contents(BUCKET):
        application.store.delete(BUCKET, key)
    job = ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/"}))
    assert (job["state"], job["problem"]["code"], job["problem"]["removals"]) == ("failed", "removal_guard", 3)
    assert application.mirror.status().counts.indexed == 2
    sure = ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/", "yes": True}))
    assert (sure["state"], application.mirror.status().counts.indexed) == ("done", 0)


def test_a_backup_is_a_job_for_who_can_read_the_data_folder(
    application: FakeApplication, client: TestClient, tmp_path: Path
) -> None:
    body = {"folder": str(tmp_path / "backup")}
    assert is_problem(client.post("/api/v1/backup", json=body), 403, "forbidden")
    headers = {"Authorization": f"Bearer {(tmp_path / TOKEN_FILE).read_text()}"}
    started = client.post("/api/v1/backup", json=body, headers=headers)
    assert started.status_code == 202
    until(lambda: client.get(started.headers["Location"], headers=headers).json()["state"] == "done")
    report = client.get(started.headers["Location"], headers=headers).json()["report"]
    assert (report["folder"], report["has_vectors"], report["files"]) == (body["folder"], False, 1)
    again = client.post("/api/v1/backup", json=body, headers=headers)
    until(lambda: client.get(again.headers["Location"], headers=headers).json()["state"] == "failed")
    assert client.get(again.headers["Location"], headers=headers).json()["problem"]["code"] == "config"


def test_check_finds_and_repairs(application: FakeApplication, client: TestClient) -> None:
    assert ends(client, client.post("/api/v1/check"))["report"] == {
        "ok": True,
        "missing": [],
        "stale": [],
        "orphaned": [],
    }
    record = application.mirror.find("guides/start.md")[0].record
    assert record is not None
    application.vectors.delete(record.collection, [record.rows])
    found = ends(client, client.post("/api/v1/check", json={"repair": False}))["report"]
    assert (found["ok"], [each["key"] for each in found["missing"]]) == (False, ["guides/start.md"])
    job = ends(client, client.post("/api/v1/check", json={"repair": True}))
    assert (job["report"]["ok"], job["repaired"]) == (True, 1)
    assert is_problem(client.get("/api/v1/check/nope"), 404, "unknown_job")
    assert is_problem(client.get(f"/api/v1/sync/{job['job']}"), 404, "unknown_job")


def test_alive_ready_and_figures(application: FakeApplication, client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "reasons": []}
    figures = client.get("/metrics").text
    assert 's2m_objects{state="indexed"} 2.0' in figures
    assert "s2m_freshness_seconds" in figures
    assert "휴가" not in figures
    application.mirror.pool.stop()
    stopped = client.get("/readyz")
    assert (stopped.status_code, stopped.json()["reasons"]) == (503, ["The workers do not run."])


def test_before_the_start_it_lives_but_is_not_ready(application: FakeApplication) -> None:
    client = TestClient(create_app(application.as_real), base_url=LOOPBACK)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert is_problem(client.get("/api/v1/status"), 503, "unavailable")
    assert not application.is_started


def test_start_and_stop(application: FakeApplication, tmp_path: Path) -> None:
    with TestClient(create_app(application.as_real, url="http://here:1"), base_url=LOOPBACK) as client:
        client.get("/healthz")
        assert (application.is_started, application.urls) == (True, ["http://here:1"])
    assert application.is_stopped
    assert not (tmp_path / TOKEN_FILE).exists()


def test_a_known_reason_not_to_start_is_told_in_words(tmp_path: Path) -> None:
    sent: list[Any] = []

    def build() -> Any:
        raise Unauthorized("No key.", hint="Get one.")

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        with pytest.raises(Unauthorized):
            await create_app(build)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    asyncio.run(run())
    assert sent == [{"type": "lifespan.startup.failed", "message": "error: No key.\nhint: Get one."}]
