"""What local servers of tests share: silent, each request in a thread, running while a test needs them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

__all__ = ["QuietHandler", "QuietServer", "running"]


class QuietServer(ThreadingHTTPServer):
    """Clients hang up as they please."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Silent."""


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections open, answers at once, writes no log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Silent."""


_Server = TypeVar("_Server", bound=ThreadingHTTPServer)


@contextmanager
def running(server: _Server) -> Iterator[_Server]:
    """Serve until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
