"""HTTP over a Unix socket, for commands whose service listens on one."""

import http.client
import socket
from functools import partial
from typing import Any
from urllib.request import HTTPHandler, Request

__all__ = ["SCHEME", "UnixHandler"]

SCHEME = "unix:"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, host: str, **more: Any) -> None:
        super().__init__(host, **more)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class UnixHandler(HTTPHandler):
    """Opens every http address by this socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def http_open(self, request: Request) -> http.client.HTTPResponse:
        """See `HTTPHandler`."""
        return self.do_open(partial(_Connection, self._path), request)
