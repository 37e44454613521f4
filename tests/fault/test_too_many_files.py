"""A process that can open no more files: said in these words, seldom, and blamed on no document."""

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from s3_to_milvus.adapters.ledger.sqlite.failures import translated
from s3_to_milvus.adapters.object_stores.folder import FolderStore
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.domain.retrying import RetryPolicy, TryAgain, next_step
from s3_to_milvus.domain.scarcity import without_blame
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.errors import ConfigError, FatalError, S3ToMilvusError, TooManyOpenFiles, UnreadableDocument
from s3_to_milvus.web import server
from s3_to_milvus.web.app import create_app
from tests.support.application import BUCKET, FakeApplication, until
from tests.support.web import LOOPBACK, is_problem

ROOT = Path(__file__).resolve().parents[2]
NO_MORE = [OSError(errno.EMFILE, os.strerror(errno.EMFILE)), OSError(errno.ENFILE, os.strerror(errno.ENFILE))]


def _misread(cause: Exception, how: str) -> Exception:
    """The cause, as an adapter may have told it."""
    try:
        try:
            raise cause
        except OSError as error:
            if how == "from":
                raise UnreadableDocument("The file is damaged.") from error
            raise UnreadableDocument("The file is damaged.")  # noqa: B904 - as careless code does
    except UnreadableDocument as error:
        return error


@pytest.mark.parametrize("cause", NO_MORE)
@pytest.mark.parametrize("how", ["bare", "from", "while"])
def test_no_document_is_buried_for_it(cause: OSError, how: str) -> None:
    error = without_blame(cause if how == "bare" else _misread(cause, how))
    assert isinstance(error, TooManyOpenFiles)
    assert "too many files open" in error.message
    for attempts in (1, 3, 1_000):
        assert isinstance(next_step(error, attempts, RetryPolicy(), 0.5), TryAgain)


def test_other_causes_are_what_they_were() -> None:
    for error in (OSError(errno.EIO, "x"), UnreadableDocument("x"), _misread(OSError(errno.EIO, "x"), "from")):
        assert without_blame(error) is error


def test_the_line_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = FakeApplication(tmp_path, config=EngineConfig(workers=2, scan_interval_s=3600, retry=_SOON))
    sniff, failing = application.mirror.parts.sniff, [True]

    def sniffing(*args: object) -> str:
        if failing[0]:
            raise NO_MORE[0]
        return sniff(*args)  # type: ignore[arg-type]

    object.__setattr__(application.mirror.parts, "sniff", sniffing)
    application.put("a.txt", "text")
    with capture_logs() as lines, TestClient(create_app(application.as_real), base_url=LOOPBACK) as client:
        until(lambda: sum(line["event"] == "run.failed" for line in lines) > 5, 30)
        (line,) = client.get("/api/v1/objects").json()["objects"]
        assert line["error_code"] in ("", "too_many_open_files")
        assert line["state"] in (ObjectState.WAITING, ObjectState.RUNNING)
        failing[0] = False
        until(lambda: application.mirror.status().counts.indexed == 1, 30)


_SOON = RetryPolicy(base_s=0.01, cap_s=0.02)


def test_a_request_that_meets_it_is_told_so(
    application: FakeApplication, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure: list[Exception] = [NO_MORE[0]]

    def fail(*_: object) -> None:
        raise failure[0]

    monkeypatch.setattr(application.mirror, "search", fail)
    with capture_logs() as lines:
        for _ in range(50):
            answer = client.post("/api/v1/search", json={"query": "x"})
            assert is_problem(answer, 503, "too_many_open_files")
            assert "ulimit -n" in answer.json()["hint"]
    assert len([line for line in lines if line["event"] == "request.failed"]) <= 1
    failure[0] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert is_problem(client.post("/api/v1/search", json={"query": "x"}), 507, "disk_full")


@pytest.fixture
def application(tmp_path: Path) -> FakeApplication:
    return FakeApplication(tmp_path)


@pytest.fixture
def client(application: FakeApplication):
    with capture_logs(), TestClient(create_app(application.as_real), base_url=LOOPBACK) as client:
        yield client


def _in_want(work: Callable[[], None]) -> None:
    """Do it while this process can open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            work()
    finally:
        for each in held:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_folder_is_not_said_to_be_missing(tmp_path: Path) -> None:
    store = FolderStore(FolderStore.Options(), {BUCKET: tmp_path})
    said: list[str] = []

    def look() -> None:
        for act in (lambda: store.get(ObjectRef(BUCKET, "a.txt")), lambda: list(store.list(BUCKET))):
            try:
                act()
            except S3ToMilvusError as error:
                said.append(error.message)

    _in_want(look)
    assert len(said) == 2
    for each in said:
        assert os.strerror(errno.EMFILE) in each
        assert "not there" not in each


def test_a_ledger_is_not_said_to_lack_rights() -> None:
    import sqlite3

    said: list[S3ToMilvusError] = []

    def look() -> None:
        try:
            sqlite3.connect("file:/nowhere-at-all?mode=ro", uri=True)
        except sqlite3.Error as error:
            said.append(translated(error))

    _in_want(look)
    look()
    assert isinstance(said[0], TooManyOpenFiles)
    assert isinstance(said[1], FatalError | ConfigError)


def test_asyncio_says_it_once() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        server.protect(None, 100, 1_000)
        for _ in range(5_000):
            loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": NO_MORE[0]})
        loop.call_exception_handler({"message": "other", "exception": ValueError("other")})

    with capture_logs() as lines:
        asyncio.run(run())
    (line,) = [line for line in lines if line["event"] == "connections.no_more_files"]
    assert line["message"] == os.strerror(errno.EMFILE)
    assert "ulimit -n" in line["hint"]


FILES = 512


@pytest.fixture
def serving(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The real service over ``docs``, with few files; what it says goes into ``log``."""
    documents = tmp_path / "docs"
    documents.mkdir()
    (documents / "a.txt").write_text("before")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("S2M_")},
        "S2M_DATA_DIR": str(tmp_path / "data"),
        "S2M_SOURCE": str(documents),
        "S2M_EMBEDDER__KIND": "hash",
        "S2M_LOG__FORMAT": "json",
    }
    with (tmp_path / "log").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "s3_to_milvus.cli.main", "serve", "--port", "0", "--json"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=out,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, FILES)),
        )
    yield process
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_half_requests_beyond_the_limit_of_files(tmp_path: Path, serving: "subprocess.Popen[bytes]") -> None:
    """Anonymous half requests take files from nobody."""
    assert serving.stdout is not None
    url = json.loads(serving.stdout.readline())["url"]
    address = (url.rpartition("/")[2].partition(":")[0], int(url.rpartition(":")[2]))
    until(lambda: _found(url, "before") == ["a.txt"], 60)
    limits = Path(f"/proc/{serving.pid}/limits")
    if limits.exists():
        assert f"Max open files            {FILES}" in limits.read_text()
    with ExitStack() as held:
        for _ in range(FILES + 100):
            one = held.enter_context(socket.create_connection(address, timeout=30))
            one.sendall(b"GET / HTTP/1.1\r\nX-a: ")
        (tmp_path / "docs" / "b.txt").write_text("meanwhile")
        until(lambda: _found(url, "meanwhile") == ["b.txt"], 60)
        with urlopen(f"{url}/readyz", timeout=30) as answer:
            assert answer.status == 200
    said = (tmp_path / "log").read_text()
    assert "Too many open files" not in said
    assert said.count("connections.full") == 1


def _found(url: str, query: str) -> list[str]:
    body = json.dumps({"query": query, "top": 1}).encode()
    try:
        with urlopen(Request(f"{url}/api/v1/search", body, {"Content-Type": "application/json"}), timeout=30) as answer:
            return [hit["key"] for hit in json.load(answer)["hits"] if hit["text"] == query]
    except (URLError, OSError):
        return []
