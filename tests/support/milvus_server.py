"""A real Milvus 2.3.5 without Docker, for soak tests: ``with milvus_server(folder) as uri``.

The package ``milvus`` listens on all interfaces, so it runs in a network namespace of its own (needs root and ``ip``).
A socket in the folder leads to it, since sockets with a path do not care for namespaces. It lives in a virtual
environment of its own, ``.tools/milvus-server``, made at the first use. Run as a program, this file is the inside of
the namespace.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["milvus_or_skip", "milvus_server", "why_not"]

TOOLS = Path(__file__).parents[2] / ".tools" / "milvus-server"
PACKAGES = ["milvus==2.3.5", "setuptools<81"]
START_S = 120.0


def why_not() -> str:
    """Why no server can be started here; empty where one can."""
    if not sys.platform.startswith("linux"):
        return "the package milvus is for Linux"
    if os.geteuid() != 0:
        return "a network namespace needs root"
    return "" if shutil.which("ip") else "the program ip is missing (package iproute2)"


@contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """The URI of a fresh server, which is killed at the end."""
    python = _environment()
    namespace = f"s2m-{os.getpid()}-{time.time_ns() % 100_000}"
    path = folder / "socket"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        enter = ["ip", "netns", "exec", namespace]
        subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [*enter, str(python), __file__, str(folder / "data"), str(path)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait_for(process, path, folder)
            yield f"unix:{path}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _kill_all(namespace)
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=True)


@contextmanager
def milvus_or_skip(folder: Path) -> Iterator[str]:
    """The same; where none can be started, the test is skipped with the reason."""
    import pytest

    if reason := why_not():
        pytest.skip(reason)
    with milvus_server(folder) as uri:
        yield uri


def _environment() -> Path:
    python = TOOLS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(TOOLS)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def _wait_for(process: "subprocess.Popen[bytes]", path: Path, folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Milvus did not start:\n{(folder / 'server.log').read_text()[-4_000:]}")
        time.sleep(0.2)


def _kill_all(namespace: str) -> None:
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True)
    for pid in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _serve(data: Path, path: Path) -> None:
    """Start Milvus in this namespace, then lead the socket to its port."""
    from milvus import default_server  # type: ignore[import-not-found]

    default_server.config.update(proxy_port=19530, debug=False)
    default_server.set_base_dir(str(data))
    for part in ("proxy", "rootCoord", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode"):
        default_server.config.set(f"{part}.ip", "127.0.0.1")
    default_server.start()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path.with_suffix(".new")))
    listener.listen()
    path.with_suffix(".new").rename(path)
    while True:
        outside, _ = listener.accept()
        inside = socket.create_connection(("127.0.0.1", default_server.listen_port))
        for pair in ((outside, inside), (inside, outside)):
            threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
