"""Whoever stops a parsing process from outside: no document is blamed for it."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.adapters.parsers.isolated.process import ChildProcess, ForkServer
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import Parser, ParserInput

TARGET = "tests.support.hostile_parsers:HostileParser"


@pytest.fixture
def parser(tmp_path: Path) -> Iterator[Parser]:
    pool = ParsingPool(ParsingPool.Options(workers=1, timeout_s=120), tmp_path / "scratch")
    yield pool.wrap(TARGET, {}, kind="hostile", fingerprint="1", media_types=frozenset({"text/plain"}))
    pool.close()


def _say(parser: Parser, command: str) -> str:
    data = command.encode()
    (block,) = parser.parse(ParserInput("text/plain", "x", len(data), data=data)).blocks
    return block.text


def _server_of(child: int) -> psutil.Process:
    return psutil.Process(child).parent()


def test_a_killed_fork_server_is_replaced(parser: Parser) -> None:
    for _ in range(2):
        _server_of(int(_say(parser, "pid"))).kill()
        assert _say(parser, "ok fine") == "fine"


def test_a_document_whose_fork_server_is_killed_is_read_again(parser: Parser) -> None:
    child = int(_say(parser, "pid"))
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(_say, parser, "slow 1")
        time.sleep(0.3)
        _server_of(child).kill()
        assert reading.result(100) == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_stops_a_whole_group_lets_documents_end(parser: Parser, number: signal.Signals) -> None:
    child = int(_say(parser, "pid"))
    server = _server_of(child).pid
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(_say, parser, "slow 1")
        time.sleep(0.3)
        for pid in (server, child):
            os.kill(pid, number)
        assert reading.result(100) == "done"
    assert int(_say(parser, "pid")) == child


def test_a_child_that_cannot_start_is_no_fault_of_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-such-interpreter"))
    pool = ParsingPool(ParsingPool.Options(workers=1), tmp_path / "scratch")
    parser = pool.wrap(TARGET, {}, kind="hostile", fingerprint="1", media_types=frozenset({"text/plain"}))
    try:
        with pytest.raises(Unavailable, match="can't be started"):
            _say(parser, "ok")
    finally:
        pool.close()


def test_the_first_child_is_started_once(parser: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    forked: list[ChildProcess] = []
    fork = ForkServer.fork

    def counted(server: ForkServer) -> ChildProcess:
        forked.append(fork(server))
        return forked[-1]

    monkeypatch.setattr(ForkServer, "fork", counted)
    assert _say(parser, "ok fine") == "fine"
    assert len(forked) == 1
