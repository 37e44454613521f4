"""uvicorn in a thread over a given application, and callers that speak HTTP by hand."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from tests.support.application import until

__all__ = ["RealServer", "answer_of", "real_server"]


class RealServer:
    """Where it listens: ``address`` for TCP, ``path`` for a Unix socket."""

    def __init__(self, address: tuple[str, int], path: Path | None) -> None:
        self.address = address
        self.path = path

    def connect(self) -> socket.socket:
        """A new connection, with a time limit that only a hanging server reaches."""
        if self.path is None:
            return socket.create_connection(self.address, timeout=30)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(str(self.path))
        return connection

    def send(self, head: Sequence[str], body: bytes = b"") -> tuple[int, Any]:
        """Status and JSON (or text) of one request, whose head is given line by line; it asks to be closed after."""
        with self.connect() as connection:
            connection.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body)
            return answer_of(connection)

    def get(self, path: str, *headers: str, version: str = "1.1", host: str = "") -> tuple[int, Any]:
        """One GET."""
        name = host or f"{self.address[0]}:{self.address[1]}"
        return self.send([f"GET {path} HTTP/{version}", f"Host: {name}", *headers])

    def post(self, path: str, body: bytes, *headers: str) -> tuple[int, Any]:
        """One POST."""
        lines = [f"POST {path} HTTP/1.1", f"Host: {self.address[0]}", f"Content-Length: {len(body)}", *headers]
        return self.send(lines, body)


def answer_of(connection: socket.socket) -> tuple[int, Any]:
    """Status and body of the answer that comes by this connection; 0 where it was closed without one."""
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
        data = answer.read()
    except (http.client.HTTPException, OSError):
        return 0, ""
    is_json = "json" in answer.headers.get("content-type", "")
    return answer.status, json.loads(data) if is_json else data.decode("utf-8", "replace")


@contextmanager
def real_server(app: ASGIApp, path: Path | None = None) -> Iterator[RealServer]:
    """The server, as `uvicorn main:app` runs it, on a free port or on this Unix socket."""
    more: dict[str, Any] = {"uds": str(path)} if path is not None else {"host": "127.0.0.1", "port": 0}
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1, **more))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), 60)
    assert server.started, "it did not start"
    address = ("127.0.0.1", 0) if path is not None else server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield RealServer(address, path)
    finally:
        server.should_exit = True
        thread.join(30)
