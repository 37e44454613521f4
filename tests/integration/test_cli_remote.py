"""The same commands while a service owns the data: they ask it over HTTP, and print the same."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvicorn
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from s3_to_milvus.bootstrap.datalock import DataLock
from s3_to_milvus.cli import remote
from s3_to_milvus.cli.main import main
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.web.app import create_app
from tests.support.application import BUCKET, FakeApplication, until

SOURCE = "s3://docs/"
CONFIG = EngineConfig(workers=2, scan_interval_s=3600, retry=RetryPolicy(base_s=0.01, cap_s=0.02))
Run = Callable[..., Result]


class Announcing(FakeApplication):
    """Holds the data folder and tells where it answers, as the real one does."""

    def announce(self, url: str) -> None:
        super().announce(url)
        self.lock.announce(url)

    lock: DataLock


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Announcing]:
    monkeypatch.setenv("S2M_DATA_DIR", str(tmp_path))
    # A proxy of the machine must never see what is asked of this machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    application = Announcing(tmp_path, config=CONFIG)
    application.lock = DataLock(tmp_path)
    application.put("인사/휴가.txt", "연차휴가는 15일이다.")
    application.put("broken.md", "%FAIL-PERMANENT")
    server = uvicorn.Server(uvicorn.Config(create_app(application.as_real), port=0, log_level="error", lifespan="on"))
    handler = signal.getsignal(signal.SIGTERM)
    logging = structlog.get_config()
    thread = threading.Thread(target=server.run)
    with capture_logs():
        thread.start()
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        application.announce(f"http://127.0.0.1:{port}")
        until(lambda: application.mirror.status().counts.indexed == 1)
        until(lambda: application.mirror.status().counts.failed == 1)
        yield application
        server.should_exit = True
        thread.join()
    application.lock.release()
    signal.signal(signal.SIGTERM, handler)
    structlog.configure(**logging)


@pytest.fixture
def run(service: Announcing) -> Run:
    def call(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, arguments, **options)

    return call


def _json(result: Result) -> Any:
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def test_questions(run: Run) -> None:
    found = _json(run("search", "연차휴가는 15일이다.", "--json"))
    assert found["hits"][0]["key"] == "인사/휴가.txt"
    status = _json(run("status", "--json"))
    assert set(status) == {"objects", "collections", "freshness_seconds"}
    assert status["objects"]["indexed"] == 1
    shown = _json(run("show", "인사/휴가.txt", "--json"))
    assert shown["chunks"][0]["text"] == "연차휴가는 15일이다."
    assert _json(run("show", shown["id"], "--json")) == shown
    assert run("show", "nothing").exit_code == 2


def test_errors_of_the_service_end_like_our_own(run: Run) -> None:
    unknown = run("search", "x", "--collection", "nope")
    assert unknown.exit_code == 2
    assert unknown.stderr.splitlines()[0] == "error: There is no collection 'nope'."
    assert unknown.stderr.splitlines()[1].startswith("hint: Known collections: ")


def test_sync(service: Announcing, run: Run) -> None:
    service.put("new.md", "brand new")
    result = run("sync", SOURCE, "--json")
    report = _json(result)
    keys = {"source", "added", "changed", "removed", "unchanged", "failed", "empty", "chunks", "embedded", "seconds"}
    keys |= {"tokens", "pages", "usd"}
    assert (result.exit_code, set(report), report["added"], report["failed"]) == (6, keys, 1, 1)
    assert "docs/broken.md: the file says that it is damaged" in run("sync", SOURCE).stderr


def test_a_new_source_is_let_in_by_the_token(service: Announcing, run: Run) -> None:
    service.store.put("other", "a.md", b"hello")
    assert _json(run("sync", "s3://other/", "--json"))["added"] == 1
    missing = run("sync", "s3://nowhere/")
    assert (missing.exit_code, missing.stderr.splitlines()[0]) == (2, "error: There is no bucket nowhere.")


def test_the_removal_guard(service: Announcing, run: Run) -> None:
    for key in service.store.contents(BUCKET):
        service.store.delete(BUCKET, key)
    refused = run("sync", SOURCE)
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert _json(run("sync", SOURCE, "--yes", "--json"))["removed"] >= 1


def test_retry(service: Announcing, run: Run) -> None:
    one = run("retry", "broken.md", "--json")
    assert (one.exit_code, _json(one)) == (6, {"retried": 1})
    service.put("broken.md", "well again")
    mended = run("retry", "broken.md")
    assert (mended.exit_code, mended.stdout) == (0, "1 tried again\n")
    assert "docs/broken.md: indexed" in mended.stderr
    assert run("retry", "--all").exit_code == 0


def test_retry_of_what_is_gone(service: Announcing, run: Run) -> None:
    service.store.delete(BUCKET, "broken.md")
    assert run("retry", "broken.md").exit_code == 0
    assert service.ledger.status(ObjectRef(BUCKET, "broken.md")) is None


def test_check(service: Announcing, run: Run) -> None:
    assert _json(run("check", "--json"))["ok"] is True
    record = service.mirror.find("인사/휴가.txt")[0].record
    assert record is not None
    service.vectors.delete(record.collection, [record.rows])
    assert run("check").exit_code == 5
    assert run("check", "--repair").exit_code == 0


def test_backup(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = _json(run("backup", "a backup", "--json"))
    assert (made["folder"], made["stores"]) == (str(tmp_path / "a backup"), ["ledger.db"])
    result = run("backup", str(tmp_path / "another"))
    assert result.exit_code == 0
    assert "Milvus server" in result.stderr
    refused = run("backup", "a backup")
    assert refused.exit_code == 2
    assert "not empty" in refused.stderr
    assert run("restore", "a backup").exit_code == 2, "a service runs over the data folder"


def test_a_name_that_no_unicode_can_spell(service: Announcing, run: Run) -> None:
    key = "caf\udce9.md"
    service.store.put(BUCKET, key, b"%FAIL-PERMANENT")
    service.mirror.mark([ObjectRef(BUCKET, key)])
    until(lambda: service.mirror.status().counts.failed == 2)
    assert _json(run("show", key, "--json"))["key"] == key
    assert _json(run("retry", key, "--json")) == {"retried": 1}


def test_watching_is_left_to_the_service(run: Run) -> None:
    result = run("sync", SOURCE, "--watch")
    assert result.exit_code == 6
    assert "follows changes already" in result.stderr


def test_a_second_service_says_who_is_first(run: Run, service: Announcing, tmp_path: Path) -> None:
    result = run("serve", "--port", "0")
    assert result.exit_code == 2
    assert f"serves {service.urls[-1]}" in result.stderr


def test_a_service_that_does_not_answer_is_named(
    service: Announcing, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_CONNECT_S", 0.2)
    service.announce("http://127.0.0.1:9")
    result = run("status")
    assert result.exit_code == 5
    assert "owns the data, but does not answer at http://127.0.0.1:9" in result.stderr
