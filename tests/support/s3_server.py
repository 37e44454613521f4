"""A server that answers S3 requests as a test says, and keeps what it was asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from s3_to_milvus.adapters.object_stores.s3 import S3Store
from tests.support.http_server import QuietHandler, QuietServer, running

__all__ = ["NO_HEADERS", "Answer", "Server", "error", "make", "page", "serving"]

NO_HEADERS: dict[str, str] = {}
Answer = tuple[int, dict[str, str], bytes]


class Server(QuietServer):
    """Answers as ``answer`` says; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[dict[str, str]], Answer] = lambda _: (500, {}, b"")
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def always(self, status: int, body: bytes | str = b"", **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.answer = lambda _: (status, headers, data)

    def in_turn(self, *answers: Answer) -> None:
        left = iter(answers)
        self.answer = lambda _: next(left)


class _Handler(QuietHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.server.requests.append((parts.path, parts.query, dict(self.headers.items())))
        status, headers, body = self.server.answer(query)
        self.send_response(status)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if status != 304 and "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if int(headers.get("Content-Length", "0")) > len(body):
            self.close_connection = True


@contextmanager
def serving() -> Iterator[Server]:
    """A running server."""
    with running(Server()) as server:
        yield server


def make(url: str, **options: Any) -> S3Store:
    defaults = {"region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret-42"}
    settings = {"endpoint_url": url, **defaults, "connect_timeout_s": 2.0, "read_timeout_s": 0.5, **options}
    return S3Store(S3Store.Options.model_validate(settings), sleep=lambda _: None)


def error(code: str, message: str = "A message.") -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


def page(keys: list[str], token: str | None = None, *, encoding: str = "url", space: str = "") -> str:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-23T01:04:45.000Z</LastModified>"
        f"<ETag>&quot;e{len(key)}&quot;</ETag><Size>3</Size></Contents>"
        for key in keys
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult{space}><Name>bucket</Name>'
        f"{f'<EncodingType>{encoding}</EncodingType>' if encoding else ''}"
        f"{more if token else '<IsTruncated>false</IsTruncated>'}{entries}</ListBucketResult>"
    )
