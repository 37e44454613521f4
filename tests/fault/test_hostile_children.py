"""A parsing child that a file has taken over: what it says and does costs this one document, never the service."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from s3_to_milvus.adapters.parsers.isolated import ParsingPool, syscalls
from s3_to_milvus.adapters.parsers.isolated.sandbox import landlock_abi
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.errors import DocumentTooLarge, ParserCrashed, ParserTimeout
from s3_to_milvus.ports import Parser, ParserInput

ROOT = Path(__file__).resolve().parents[2]
TARGET = "tests.support.lying_parsers:LyingParser"
_HAS_FILTER = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_shut_off = pytest.mark.skipif(not _HAS_FILTER or landlock_abi() < 1, reason="no filter of calls or no landlock here")
_LIMITS = DocumentLimits(members=200)

# Doors that stay open, and why no harm is in them.
_HARMLESS = {
    "does a file exist": "libraries look for their files; names, sizes and times of files are no contents",
    "where a link leads": "the interpreter looks for itself",
    "its own limits": "libraries ask how much they may use; hard limits can only be lowered",
    "its own processors": "within those that the service may use",
    "signal to itself": "how `abort` ends a process; it costs this document",
    "memory to run": "native libraries and regular expressions are compiled at run time; it is still this process",
}


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[ParsingPool]:
    made = ParsingPool(ParsingPool.Options(workers=1, timeout_s=60), tmp_path / "scratch")
    yield made
    made.close()


@pytest.fixture
def parser(pool: ParsingPool) -> Parser:
    return _wrap(pool)


def _wrap(pool: ParsingPool) -> Parser:
    return pool.wrap(TARGET, kind="lying", fingerprint="1", media_types=frozenset({"text/plain"}))


def _ask(parser: Parser, command: str) -> Document:
    data = command.encode()
    return parser.parse(ParserInput("text/plain", "x", len(data), data=data, limits=_LIMITS))


def _say(parser: Parser, command: str) -> str:
    (block,) = _ask(parser, command).blocks
    return block.text


@pytest.mark.parametrize("command", ["pickle", "raw-pickle"])
def test_what_a_child_pickles_is_never_unpickled(parser: Parser, tmp_path: Path, command: str) -> None:
    with pytest.raises(ParserCrashed, match="can't be true"):
        _ask(parser, f"{command} {tmp_path / 'MARK'}")
    assert not (tmp_path / "MARK").exists()
    assert _say(parser, "ok fine") == "fine"


@pytest.mark.parametrize(
    ("command", "error"),
    [("flood", DocumentTooLarge), ("attachments", DocumentTooLarge), ("ahead", ParserCrashed)],
)
def test_endless_answers_end(tmp_path: Path, command: str, error: type[Exception]) -> None:
    pool = ParsingPool(ParsingPool.Options(workers=1, timeout_s=60), tmp_path / "scratch")
    try:
        parser = _wrap(pool)
        if command == "ahead":  # its own answer counts; the one that nobody asked for ends the child
            assert _ask(parser, command).title == "forged"
        else:
            with pytest.raises(error):
                _ask(parser, command)
        assert _ask(parser, "ok fine").title == ""
        assert _say(parser, "ok fine") == "fine"
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    finally:
        pool.close()


def test_a_child_that_never_stops_talking_is_stopped_in_time(tmp_path: Path) -> None:
    pool = ParsingPool(ParsingPool.Options(workers=1, timeout_s=1), tmp_path / "scratch")
    try:
        parser = _wrap(pool)
        began = time.monotonic()
        with pytest.raises(ParserTimeout, match="longer than 1 s"):
            _ask(parser, "trickle")
        assert time.monotonic() - began < 60
        assert _say(parser, "ok fine") == "fine"
    finally:
        pool.close()


def test_a_child_that_closes_its_pipe_is_stopped(parser: Parser) -> None:
    with pytest.raises(ParserCrashed):
        _ask(parser, "close-pipe")
    assert _say(parser, "ok fine") == "fine"


def test_a_child_can_stop_no_more_than_its_document(parser: Parser) -> None:
    with pytest.raises(ParserCrashed, match="pay"):
        _ask(parser, "fatal")


def test_threads_without_end_are_stopped(parser: Parser) -> None:
    with pytest.raises(ParserCrashed, match="thread"):
        _ask(parser, "threads")
    assert _say(parser, "ok fine") == "fine"


_SERVICE = """
import resource, sys
from pathlib import Path
from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.errors import ParserCrashed
from s3_to_milvus.ports import ParserInput

pool = ParsingPool(ParsingPool.Options(workers=1, timeout_s=120), Path(sys.argv[1]))
parser = pool.wrap(sys.argv[2], kind="x", fingerprint="1", media_types=frozenset())
def say(command):
    return next(iter(parser.parse(ParserInput("text/plain", "x", len(command), data=command.encode())).blocks)).text
say("ok")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    say("line 900")
except ParserCrashed as error:
    print(error.message)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
pool.close()
"""


def test_a_line_of_900_mib_costs_the_service_no_memory(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _SERVICE, str(tmp_path / "scratch"), TARGET],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    said, grown = run.stdout.splitlines()
    assert "can't be true (a frame that is too long)" in said
    assert int(grown) < 32 << (10 if sys.platform == "linux" else 20)


@_shut_off
def test_every_door_is_shut_or_harmless(parser: Parser, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    given = next((tmp_path / "scratch").glob("*/given"), None)
    if given is None:
        assert _say(parser, "ok") == ""
        (given,) = (tmp_path / "scratch").glob("*/given")
    found: dict[str, str] = json.loads(_say(parser, f"probe {os.getpid()} {given}"))
    opened = {name for name, what in found.items() if what == "open"}
    assert opened == set(_HARMLESS), f"not as foreseen: {opened ^ set(_HARMLESS)}"
    others = {name: what for name, what in found.items() if what[:5] not in ("open", "EPERM", "EACCE", "ENOSY")}
    assert not others, "refused for another reason: nobody knows whether the door is shut"
    assert resource.getrlimit(resource.RLIMIT_CPU) == (soft, hard)


@_shut_off
def test_every_other_system_call_is_refused(parser: Parser) -> None:
    machine = syscalls._MACHINES[platform.machine()]
    allowed = {*syscalls._numbers(machine.allowed), *syscalls._numbers(syscalls._NEWER), *machine.opens}
    narrowed = {machine.clone, machine.prlimit64, machine.sched_setaffinity, machine.tgkill}
    narrowed |= {machine.fcntl, machine.ioctl, machine.prctl}
    narrowed |= {335, 336} if platform.machine() == "x86_64" else set()  # uprobes: the kernel answers by SIGILL itself
    assert _say(parser, f"sweep {','.join(map(str, allowed | narrowed))}") == ""


def test_a_child_holds_two_pipes_and_nothing_else(parser: Parser) -> None:
    kinds = _say(parser, "files").split(",")
    assert kinds.count("pipe") == 2
    assert "socket" not in kinds


def test_children_inherit_no_secret_of_the_service(parser: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-inherited")
    assert _say(parser, "ok") == ""
    for process in psutil.Process().children(recursive=True):
        assert "sk-inherited" not in process.environ().values()
        assert "PATH" in process.environ()
