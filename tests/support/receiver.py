"""A server that takes what is posted to it, and answers as a test asks."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.http_server import QuietHandler, QuietServer, running

__all__ = ["Answer", "Receiver", "receiver"]


@dataclass(frozen=True)
class Answer:
    """``status`` 0: the line is cut. ``is_taken``: what was posted counts nevertheless."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_taken: bool = False


class Receiver(QuietServer):
    """``answers`` are given first, then 200. ``taken`` keeps the path, headers and body of what was taken."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: deque[Answer] = deque()
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.asked = 0

    @property
    def url(self) -> str:
        """Its address; the path is a secret."""
        return f"http://127.0.0.1:{self.server_address[1]}/services/T0/B0/secret-path"


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running server."""
    with running(Receiver()) as server:
        yield server


class _Handler(QuietHandler):
    server: Receiver

    def do_HEAD(self) -> None:
        self._send(Answer(405))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        answer = self.server.answers.popleft() if self.server.answers else Answer(is_taken=True)
        if answer.is_taken:
            self.server.taken.append((self.path, dict(self.headers), body))
        if answer.status == 0:
            self.close_connection = True
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()
