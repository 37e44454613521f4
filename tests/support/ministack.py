"""A real S3 protocol server for tests: ministack, in a virtual environment of its own (it pins an old botocore)."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port

__all__ = ["Ministack", "running_ministack"]

_REQUIREMENT = "ministack==1.5.33"
_HOME = Path(__file__).resolve().parents[2] / ".tools" / "ministack"
_START_S = 60.0


@dataclass(frozen=True)
class Ministack:
    """A running server and credentials that it takes."""

    endpoint_url: str
    access_key_id: str = "test"
    secret_access_key: str = "test-secret"
    region: str = "us-east-1"
    pid: int = 0


@contextlib.contextmanager
def running_ministack(folder: Path) -> Iterator[Ministack]:
    """Start a server that keeps its files in ``folder``, and stop it at the end.

    Where it can't be installed the test is skipped with the reason; in CI it fails.
    """
    program = _installed()
    port = free_port()
    with (
        (folder / "ministack.log").open("wb") as log,
        subprocess.Popen([str(program)], stdout=log, stderr=log, env=_environment(folder, port), cwd=folder) as process,
    ):
        try:
            server = Ministack(f"http://127.0.0.1:{port}", pid=process.pid)
            _wait_until_ready(server, process, folder)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _installed() -> Path:
    program = _HOME / "bin" / "ministack"
    mark = _HOME / "installed.txt"
    _HOME.parent.mkdir(exist_ok=True)
    with (_HOME.parent / "ministack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes side by side install it once
        if mark.is_file() and mark.read_text() == _REQUIREMENT and program.is_file():
            return program
        try:
            shutil.rmtree(_HOME, ignore_errors=True)
            python = getattr(sys, "_base_executable", sys.executable)
            subprocess.run([python, "-m", "venv", str(_HOME)], check=True, capture_output=True)
            command = [str(_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", _REQUIREMENT]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            _give_up(f"{_REQUIREMENT} can't be installed: {error}: {getattr(error, 'stderr', b'')!r}")
        mark.write_text(_REQUIREMENT)
    return program


def _give_up(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _environment(folder: Path, port: int) -> dict[str, str]:
    foreign = ("AWS_", "S2M_", "LD_PRELOAD")  # it stands for another place, which has a clock of its own
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
    ours = {
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "LAMBDA_EXECUTOR": "local",
        "AWS_ACCESS_KEY_ID": Ministack.access_key_id,
        "AWS_SECRET_ACCESS_KEY": Ministack.secret_access_key,
        "AWS_DEFAULT_REGION": Ministack.region,
    }
    return kept | ours


def _wait_until_ready(server: Ministack, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(server.endpoint_url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"ministack did not start: {(folder / 'ministack.log').read_text()[-2000:]}")
