"""What hostile documents do to a parsing child stays there."""

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.adapters.parsers.isolated.sandbox import landlock_abi
from s3_to_milvus.errors import EncryptedDocument, ParserCrashed, ParserTimeout, S3ToMilvusError, Unavailable
from s3_to_milvus.ports import Parser, ParserInput
from tests.support.application import until
from tests.support.patience import HANGS_S, SOON_S

ROOT = Path(__file__).resolve().parents[2]
TARGET = "tests.support.hostile_parsers:HostileParser"
_HAS_FILTER = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_has_landlock = pytest.mark.skipif(landlock_abi() < 1, reason="this kernel has no landlock")


def _wrap(pool: ParsingPool) -> Parser:
    return pool.wrap(TARGET, {"word": "<"}, kind="hostile", fingerprint="1", media_types=frozenset({"text/plain"}))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def parser(scratch: Path) -> Iterator[Parser]:
    pool = ParsingPool(ParsingPool.Options(workers=2, timeout_s=60, memory_mb=640), scratch)
    yield _wrap(pool)
    pool.close()
    assert list(scratch.iterdir()) == []


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parser]:
    pool = ParsingPool(ParsingPool.Options(workers=2, timeout_s=3.0), tmp_path_factory.mktemp("hasty"))
    yield _wrap(pool)
    pool.close()


def _say(parser: Parser, command: str) -> str:
    data = command.encode()
    (block,) = parser.parse(ParserInput("text/plain", "x", len(data), data=data)).blocks
    return block.text


@pytest.mark.parametrize("command", ["hang", "hang-c", "exit 0"])
def test_a_hang_is_stopped(hasty: Parser, command: str) -> None:
    assert _say(hasty, "ok warm") == "<warm"
    began = time.monotonic()
    with pytest.raises(ParserTimeout, match=r"longer than 3 s") as caught:
        _say(hasty, command)
    assert time.monotonic() - began < SOON_S
    assert "S2M_PARSING__TIMEOUT_S" in caught.value.hint
    assert _say(hasty, "ok fine") == "<fine"


@pytest.mark.parametrize(
    ("command", "said"),
    [("segv", "SIGSEGV"), ("abort", "SIGABRT"), ("exit 3", "exit code 3"), ("bomb", "memory"), ("swallow", "memory")],
)
def test_a_crash_is_reported_and_the_next_document_is_fine(parser: Parser, command: str, said: str) -> None:
    with pytest.raises(ParserCrashed, match=said):
        _say(parser, command)
    assert _say(parser, "ok fine") == "<fine"


def test_our_errors_cross_the_border_whole(parser: Parser) -> None:
    with pytest.raises(EncryptedDocument) as caught:
        _say(parser, "refuse")
    assert (caught.value.message, caught.value.hint) == ("locked", "unlock it")


@pytest.mark.parametrize(("command", "said"), [("defect", "ZeroDivisionError: our own"), ("panic", "index out of")])
def test_a_defect_of_a_parser_comes_with_its_traceback(parser: Parser, command: str, said: str) -> None:
    with pytest.raises(ParserCrashed, match=said) as caught:
        _say(parser, command)
    assert "hostile_parsers.py" in "".join(caught.value.__notes__)


def test_long_documents_come_through_a_file_that_has_no_name(parser: Parser, scratch: Path) -> None:
    data = b"many 3000"
    document = parser.parse(ParserInput("text/plain", "x", len(data), data=data))
    assert (document.title, document.page_count, document.warnings) == ("많음", 7, ("w",))
    assert not [path for path in scratch.rglob("*") if path.is_file()]
    for _ in range(2):
        blocks = list(document.blocks)
        assert [block.text.partition(" ")[0] for block in blocks] == [str(number) for number in range(3_000)]
        assert [block.page for block in blocks[:8]] == [1, 2, 3, 4, 5, 6, 7, 1]


def test_large_input_comes_by_file(parser: Parser, tmp_path: Path) -> None:
    command = "ok " + "가" * 100_000
    assert _say(parser, command) == f"<{'가' * 100_000}"
    path = tmp_path / "0001"
    path.write_text(command)
    (block,) = parser.parse(ParserInput("text/plain", "x", path.stat().st_size, path=path)).blocks
    assert block.text == f"<{'가' * 100_000}"
    assert path.read_text() == command


@_has_landlock
def test_a_child_sees_no_other_files(parser: Parser, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for command in (
        "read /etc/passwd",
        f"read {secret}",
        f"write {tmp_path / 'new'}",
        f"read /proc/{os.getpid()}/environ",
    ):
        with pytest.raises(ParserCrashed, match="PermissionError"):
            _say(parser, command)
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(landlock_abi() < 4, reason="this kernel's landlock knows no network")
def test_a_child_has_no_network(parser: Parser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ParserCrashed, match="PermissionError"):
        _say(parser, f"connect {server.getsockname()[1]}")


def test_a_child_knows_no_secrets_and_no_main_module(parser: Parser) -> None:
    names = _say(parser, "environ")[1:].split(",")
    assert "PATH" in names
    assert not [name for name in names if name.startswith(("HOME", "AWS", "UPSTAGE", "PYTEST"))]
    assert _say(parser, "modules") == "<"


def test_children_are_replaced_when_idle_ones_die(parser: Parser) -> None:
    for _ in range(3):
        os.kill(int(_say(parser, "pid")[1:]), signal.SIGKILL)
        assert _say(parser, "ok fine") == "<fine"
        time.sleep(0.15)  # the pool notices the dead child while nothing runs
        assert _say(parser, "ok again") == "<again"


def test_many_threads_and_many_children(parser: Parser) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: _say(parser, f"ok {number}"), range(200)))
    assert found == [f"<{number}" for number in range(200)]


def test_waiting_for_a_child_is_not_counted(tmp_path: Path) -> None:
    with closing(ParsingPool(ParsingPool.Options(workers=2, timeout_s=10), tmp_path)) as pool:
        parser = _wrap(pool)
        with ThreadPoolExecutor(8) as threads:  # four rounds of two: more than the limit in all
            assert list(threads.map(lambda _: _say(parser, "slow 3.0"), range(8))) == ["<done"] * 8


def test_a_child_says_how_far_it_is_shut_off(parser: Parser, tmp_path: Path) -> None:
    assert parser.check() == "hostile <"
    pool = ParsingPool(ParsingPool.Options(workers=1), tmp_path)
    try:
        said = pool.isolation()
    finally:
        pool.close()
    measures = [name for name, is_there in (("landlock", landlock_abi()), ("system calls", _HAS_FILTER)) if is_there]
    assert said.partition(":")[0] == ("off", "partial", "full")[len(measures)]
    assert all(name in said for name in ("limits of memory", *measures))


@_has_landlock
@pytest.mark.parametrize("command", ["spill", "neighbours"])
def test_a_child_makes_no_files_and_sees_no_names(parser: Parser, command: str) -> None:
    with pytest.raises(ParserCrashed, match="PermissionError"):
        _say(parser, command)


@_has_landlock
def test_a_folder_that_a_parser_needs_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words").write_text("words")
    pool = ParsingPool(ParsingPool.Options(workers=1), tmp_path / "scratch")
    options = {"folder": str(tmp_path / "data")}
    parser = pool.wrap(TARGET, options, kind="hostile", fingerprint="1", media_types=frozenset({"text/plain"}))
    try:
        assert _say(parser, f"read {tmp_path / 'data' / 'words'}") == "words"
        with pytest.raises(ParserCrashed, match="PermissionError"):
            _say(parser, f"write {tmp_path / 'data' / 'words'}")
    finally:
        pool.close()


@_has_landlock
def test_a_child_cannot_change_what_it_was_given(parser: Parser, tmp_path: Path) -> None:
    path = tmp_path / "0001"
    path.write_text("overwrite")
    with pytest.raises(ParserCrashed, match="PermissionError"):
        list(parser.parse(ParserInput("text/plain", "x", 9, path=path)).blocks)
    assert path.read_text() == "overwrite"


@pytest.mark.skipif(not _HAS_FILTER, reason="no filter of system calls for this system")
@pytest.mark.parametrize(
    "command", ["datagram", "socketpair", "fork", "execute", "chmod /tmp", "kill own", "spill-unnamed"]
)
def test_a_child_reaches_no_network_no_programs_no_processes(parser: Parser, command: str) -> None:
    with pytest.raises(ParserCrashed, match="PermissionError"):
        _say(parser, command.replace("own", str(os.getpid())))


def test_what_libraries_print_gets_nowhere(parser: Parser, capfd: pytest.CaptureFixture[str]) -> None:
    assert _say(parser, "shout secret") == "<12"
    assert "secret" not in "".join(capfd.readouterr())


def test_a_child_may_use_threads(parser: Parser) -> None:
    assert _say(parser, "thread") == "<done"


def test_close_is_quick_and_ends_what_hangs(tmp_path: Path) -> None:
    pool = ParsingPool(ParsingPool.Options(workers=1, timeout_s=HANGS_S), tmp_path)
    parser = _wrap(pool)
    pid = int(_say(parser, "pid")[1:])
    with ThreadPoolExecutor(1) as threads:
        hanging: Future[str] = threads.submit(_say, parser, "hang-c")
        time.sleep(0.3)
        began = time.monotonic()
        pool.close()
        with pytest.raises(Unavailable):
            hanging.result(SOON_S)
        assert time.monotonic() - began < SOON_S
    assert _is_gone(pid)
    with pytest.raises(Unavailable):
        _say(parser, "ok")
    pool.close()


def test_folders_of_dead_services_are_removed_those_of_live_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "parsing-dead").mkdir()
    (tmp_path / "parsing-dead" / "7.in").write_text("left behind")
    first, second = (ParsingPool(ParsingPool.Options(workers=1), tmp_path) for _ in range(2))
    assert _say(_wrap(first), "ok") == "<"
    assert _say(_wrap(second), "ok") == "<"
    assert _say(_wrap(first), "ok " + "x" * 40_000)
    assert len(list(tmp_path.iterdir())) == 2
    for pool in (first, second):
        pool.close()
    assert list(tmp_path.iterdir()) == []


_SERVICE = """
import sys, threading
from contextlib import closing
from pathlib import Path
from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.ports import ParserInput

print("MAIN", flush=True)  # a main module without a guard: it must run once
pool = ParsingPool(ParsingPool.Options(workers=2, timeout_s=60), Path(sys.argv[1]))
parser = pool.wrap({target!r}, kind="x", fingerprint="1", media_types=frozenset())
def say(command):
    return next(iter(parser.parse(ParserInput("text/plain", "x", len(command), data=command.encode())).blocks)).text
print("PID", say("pid"), flush=True)
for command in sys.argv[2:]:
    threading.Thread(target=say, args=(command,), daemon=True).start()
threading.Event().wait(0.5)
print("READY", flush=True)
threading.Event().wait(0 if len(sys.argv) < 3 else 60)
"""


def _service(tmp_path: Path, *commands: str) -> "subprocess.Popen[str]":
    script = tmp_path / "service.py"
    script.write_text(_SERVICE.format(target=TARGET))
    (tmp_path / "scratch").mkdir()
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "scratch"), *commands],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_killing_the_service_leaves_no_process_behind(tmp_path: Path) -> None:
    with _service(tmp_path, "hang-c", "hang") as service:
        assert service.stdout is not None
        lines = [service.stdout.readline().strip() for _ in range(3)]
        assert (lines[0], lines[2]) == ("MAIN", "READY")
        family = psutil.Process(service.pid).children(recursive=True)
        assert len(family) >= 4  # two children, their fork server, the resource tracker
        service.kill()
        until(lambda: all(_is_gone(one.pid) for one in family))


def test_a_service_that_ends_without_closing_does_not_hang(tmp_path: Path) -> None:
    with _service(tmp_path) as service:
        out, _ = service.communicate(timeout=SOON_S)
    assert service.returncode == 0
    assert [line.partition(" ")[0] for line in out.splitlines()] == ["MAIN", "PID", "READY"]


def _is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_every_error_has_a_way_back() -> None:
    from s3_to_milvus.adapters.parsers.isolated.pool import _error

    error = _error("document_too_large", "m", "h", "")
    assert isinstance(error, S3ToMilvusError)
    assert (error.code, error.hint) == ("document_too_large", "h")
    assert isinstance(_error("no_such_code", "m", "h", ""), ParserCrashed)
