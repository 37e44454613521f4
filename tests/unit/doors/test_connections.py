"""How connections are shared among callers."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from structlog.testing import capture_logs

from s3_to_milvus.web.connections import Connections, Guarded


@dataclass
class Transport:
    """As much of a transport as is asked for."""

    address: str
    written: bytes = b""
    is_closed: bool = False

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 1) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed


@dataclass
class Cycle:
    more_body: bool = False
    response_complete: bool = False


class Inner(asyncio.Protocol):
    """As much of the server's protocol as is asked for."""

    def __init__(self, cycle: Cycle | None) -> None:
        self.cycle = cycle


@dataclass
class Server:
    """Some callers of a server; ``at_work``: it makes an answer for each as soon as it comes."""

    most: int
    at_work: bool = False
    made: list[tuple[Guarded, Transport]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connections = Connections(self.most)

    def connect(self, address: str) -> Transport:
        inner = Inner(Cycle() if self.at_work else None)
        guarded, transport = Guarded(inner, self.connections), Transport(address)
        guarded.connection_made(transport)  # type: ignore[arg-type]
        self.made.append((guarded, transport))
        return transport

    def open(self, address: str) -> int:
        return sum(not each.is_closed for _, each in self.made if each.address == address)


def _run(work: Any) -> None:
    async def run() -> None:
        work()

    with capture_logs():
        asyncio.run(run())


def test_one_address_takes_half_at_most() -> None:
    def work() -> None:
        server = Server(10)
        for _ in range(50):
            server.connect("203.0.113.7")
        assert server.open("203.0.113.7") == 5
        others = [server.connect(f"203.0.113.{number}") for number in range(100, 105)]
        assert not any(each.is_closed for each in others)
        assert server.open("203.0.113.7") == 5

    _run(work)


def test_this_machine_may_stand_for_many() -> None:
    def work() -> None:
        server = Server(10)
        for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            server.connect(address)
        for _ in range(50):
            server.connect("127.0.0.1")
        assert server.open("127.0.0.1") == 10
        assert len(server.connections) == 10

    _run(work)


def test_who_is_answered_is_never_put_out() -> None:
    def work() -> None:
        server = Server(10, at_work=True)
        first = [server.connect("203.0.113.7") for _ in range(6)]
        assert [each.is_closed for each in first] == [False] * 5 + [True]
        assert first[-1].written.startswith(b"HTTP/1.1 503 ")
        for _ in range(5):
            server.connect("127.0.0.1")
        assert server.connect("203.0.113.9").written.startswith(b"HTTP/1.1 503 ")
        for guarded, _ in server.made[:5]:
            guarded.connection_lost(None)
        assert not server.connect("203.0.113.7").is_closed

    _run(work)
