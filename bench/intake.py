"""Events that one service process accepts durably over HTTP: how many a second, and how long each waits for its 202.

The client is a process of its own with keep-alive connections. The keys name files that do not exist, so that the
workers look at each once and find nothing to do; "while indexing": they index thousands of files meanwhile. Paced
events of several rounds are pooled. A disk that stalls shows in their p99, so the same is measured on a file system in
memory (where there is one), and a bare fsync on the disk, before the service runs: a probe beside it would disturb it.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from bench.corpus import make_folder
from bench.tools import head, line, percentile, run_part, serving

__all__ = ["main"]

_CONNECTIONS = 64
_EVENTS = 10_000
_PER_S = 200
_PACED_S = 10.0
_ROUNDS = 3
_MEMORY = Path("/dev/shm")
_BUSY_FILES = 8_000


class _Connection(asyncio.Protocol):
    """One keep-alive connection: a request, then its answer."""

    def __init__(self, host: str) -> None:
        self._head = f"POST /process_s3_event HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n".encode()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        top, gap, body = self._received.partition(b"\r\n\r\n")
        if gap and len(body) >= int(top.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self._received = b""
            if self._answer is not None:
                self._answer.set_result(top)

    async def send(self, key: str) -> None:
        assert self._transport is not None
        body = json.dumps({"bucket_name": "docs", "file_key": key, "event_type": "upload"}).encode()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body))
        answer = await self._answer
        assert answer.startswith(b"HTTP/1.1 202"), answer


async def _connections(url: str) -> list[_Connection]:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Connection(address.netloc), address.hostname, address.port)
        for _ in range(_CONNECTIONS)
    ]
    return [connection for _, connection in made]


async def flood(url: str, name: str) -> list[float]:
    """Every connection sends as soon as it may; seconds that each event waited."""
    keys = iter(range(_EVENTS))
    waits: list[float] = []

    async def send_all(connection: _Connection) -> None:
        for number in keys:
            began = time.perf_counter()
            await connection.send(f"{name}/문서-{number}.txt")
            waits.append(time.perf_counter() - began)

    await asyncio.gather(*map(send_all, await _connections(url)))
    return waits


async def pace(url: str, name: str) -> list[float]:
    """So many a second, whatever the service does; seconds from the moment an event was due to its answer."""
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for connection in await _connections(url):
        free.put_nowait(connection)
    began = time.perf_counter()
    waits: list[float] = []

    async def send(number: int) -> None:
        connection = await free.get()
        await connection.send(f"{name}/문서-{number}.txt")
        waits.append(time.perf_counter() - began - number / _PER_S)
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(int(_PER_S * _PACED_S)):
            await asyncio.sleep(began + number / _PER_S - time.perf_counter())
            group.create_task(send(number))
    return waits


def client(kind: str, url: str, name: str) -> dict[str, Any]:
    """How long the events waited, and how long all took, as this client saw it."""
    began = time.perf_counter()
    waits = asyncio.run({"flood": flood, "pace": pace}[kind](url, name))
    return {"waits": waits, "seconds": time.perf_counter() - began}


def _cpu_of(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _probe(folder: Path) -> None:
    """A bare write and fsync, twenty a second, on the disk of the ledger, with nothing else running."""
    waits = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(int(_PACED_S * 20)):
            time.sleep(0.05)
            file.write(b"x" * 4_096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            waits.append(time.perf_counter() - began)
    line("bare fsync on this disk, no service: p99", percentile(waits, 0.99) * 1e3, "ms")
    line("bare fsync on this disk, no service: longest", max(waits) * 1e3, "ms")


def _flood(what: str, url: str, pid: int) -> None:
    before = _cpu_of(pid)
    found = run_part("bench.intake", "flood", url, "flood")
    events, cpu_s = len(found["waits"]), _cpu_of(pid) - before
    speed = events / found["seconds"]
    line(f"{what}, {_CONNECTIONS} connections: events accepted", speed, "per s", 1_000, is_least=True)
    line(f"{what}: p99", percentile(found["waits"], 0.99) * 1e3, "ms")
    line(f"{what}: CPU of the service per event, work included", cpu_s / events * 1e3, "ms")


def _pace(what: str, url: str, rounds: int) -> None:
    waits: list[float] = []
    for number in range(rounds):
        waits += run_part("bench.intake", "pace", url, f"steady{number}")["waits"]
    line(f"{what}, {_PER_S}/s, {len(waits):,} events: p99", percentile(waits, 0.99) * 1e3, "ms", 50)
    line(f"{what}: p50", percentile(waits, 0.5) * 1e3, "ms")
    line(f"{what}: longest", max(waits) * 1e3, "ms")


def _run(files: int, measure: Callable[[str, int], None], parent: Path | None = None) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name, "docs")
        make_folder(folder, files)
        with serving(folder, Path(name, "data")) as (url, pid):
            measure(url, pid)


def _idle(url: str, pid: int) -> None:
    time.sleep(2)
    _pace("workers idle", url, _ROUNDS)
    _flood("workers idle", url, pid)


def _in_memory(url: str, _pid: int) -> None:
    time.sleep(2)
    _pace("workers idle, data in memory", url, _ROUNDS)


def _busy(url: str, pid: int) -> None:
    _flood("while indexing", url, pid)
    _pace("while indexing", url, 1)


def main() -> None:
    """Print a table."""
    head()
    with tempfile.TemporaryDirectory() as name:
        _probe(Path(name))
    _run(10, _idle)
    if _MEMORY.is_dir():
        _run(10, _in_memory, _MEMORY)
    _run(_BUSY_FILES, _busy)


if __name__ == "__main__":
    if sys.argv[1:2] in (["flood"], ["pace"]):
        print(json.dumps(client(*sys.argv[1:4])))
    else:
        main()
