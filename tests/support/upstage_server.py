"""A server that follows Upstage's documented Document Parse API: parameters, limits, rates, batches, faults."""

import contextlib
import email
import email.policy
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pypdfium2

from s3_to_milvus.adapters.parsers.upstage.cutting import PDFIUM
from tests.support.http_server import QuietHandler, QuietServer, running

__all__ = ["KEY", "Fault", "UpstageServer", "upstage_server"]

KEY = "up_test-key-that-must-never-be-shown"
_PATH = "/v1/document-digitization"
_BATCH_PAGES = 10
_MB = 1_000_000
_BOOLEANS = {"true", "false"}
_ALIAS = "document-parse"
_DATED = tuple(f"{_ALIAS}-{day}" for day in ("240910", "251217", "260128", "260930"))
# What each parameter may be; None: anything. Any other parameter is refused.
_PARAMETERS: dict[str, set[str] | None] = {
    "model": {_ALIAS, f"{_ALIAS}-nightly", f"{_ALIAS}-experimental", *_DATED},
    "mode": {"standard", "enhanced", "auto"},
    "ocr": {"auto", "force"},
    "output_formats": None,
    "coordinates": _BOOLEANS,
    "base64_encoding": None,
    "chart_recognition": _BOOLEANS,
    "merge_multipage_tables": _BOOLEANS,
}


@dataclass(frozen=True)
class Fault:
    """An answer in place of the right one; ``is_cut``: the connection ends without any."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False
    body: bytes = b'{"error": {"message": "quoted secret text"}}'


class UpstageServer(QuietServer):
    """``posts`` keeps (path, fields, bytes) of each document that was taken; ``faults`` are taken one by one.

    ``tried`` has the time and path of every attempt to send one. ``standing``: faults of a path that ends like that,
    for as long as they stand there.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: list[Fault] = []
        self.standing: dict[str, Fault] = {}
        self.tried: list[tuple[float, str]] = []
        self.per_second = 0  # documents in any second; 0: any
        self.work_s = 0.0  # what taking a document lasts
        self.together: threading.Barrier | None = None  # documents that are taken at once or not at all
        self.dated = _DATED[-1]  # what the alias means today
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.requests: dict[str, tuple[str, bytes]] = {}
        self.sync_pages = 100
        self.polls_needed = 1
        self.is_failing = self.is_relative = False
        self.expiring = 0
        self.expired = Fault(403, body=b"<Error><Code>AccessDenied</Code></Error>")
        self.failing_pages: set[int] = set()  # batches that begin there fail, of what is submitted from now on
        self.failed: dict[str, set[int]] = {}
        self.polls: dict[str, int] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """The address of the synchronous call."""
        return f"http://127.0.0.1:{self.server_address[1]}{_PATH}"


@contextlib.contextmanager
def upstage_server() -> Iterator[UpstageServer]:
    """A running server."""
    with running(UpstageServer()) as server:
        yield server


def _pages(name: str, data: bytes) -> list[str]:
    """The text of each page; a fixed Korean one for what is no PDF."""
    if not name.endswith(".pdf"):
        return ["제1장 총칙\n본문입니다."]
    with PDFIUM, contextlib.closing(pypdfium2.PdfDocument(data)) as document:
        texts = []
        for page in document:
            text_page = page.get_textpage()
            texts.append(text_page.get_text_range())
            text_page.close()
            page.close()
        return texts


_CORNERS = [{"x": 0.1, "y": 0.2}, {"x": 0.9, "y": 0.2}, {"x": 0.9, "y": 0.3}, {"x": 0.1, "y": 1.7}]


def _elements(pages: list[str], first: int) -> list[dict[str, Any]]:
    """Each page as a heading, its lines, a table, a figure with its caption, and a footer."""
    found: list[dict[str, Any]] = []

    def add(category: str, html: str, page: int) -> None:
        content = {"html": html, "markdown": "", "text": ""}
        element = {"id": len(found), "page": page, "category": category, "content": content}
        found.append({**element, "coordinates": _CORNERS})

    for page, text in enumerate(pages, first):
        heading, *lines = text.splitlines() or [""]
        add("heading1", f"<h1 id='0'>{heading}</h1>", page)
        for line in lines:
            add("paragraph", f"<p>{line}<br></p>", page)
        add("table", f"<table><tr><td>이름</td><td>쪽</td></tr><tr><td>연차</td><td>{page}</td></tr></table>", page)
        add("figure", '<figure><img alt="a picture"></figure>', page)
        add("caption", "<caption>그림 설명</caption>", page)
        add("footer", "<footer>running footer</footer>", page)
    return found


def _wrong(fields: dict[str, str]) -> str | None:
    """The first parameter that is refused."""
    for name, value in fields.items():
        allowed = _PARAMETERS.get(name)
        if name not in _PARAMETERS or (allowed is not None and value not in allowed):
            return name
    return None if "model" in fields else "model"


class _Handler(QuietHandler):
    server: UpstageServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_slow_enough = self._counted()
        if self._spoilt() or self._refused():
            return
        if not is_slow_enough:
            self._send(429, {"error": {"code": "too_many_requests"}})
            return
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        fields: dict[str, str] = {}
        name, data = "", b""
        for part in message.iter_parts():
            title = part.get_param("name", header="content-disposition")
            if title == "document":
                content: Any = part.get_payload(decode=True)
                name, data = str(part.get_filename()), content
            else:
                fields[str(title)] = part.get_content().strip()
        if (wrong := _wrong(fields)) is not None:
            code = "invalid_model" if wrong == "model" else "invalid_parameter"
            self._send(400, {"error": {"message": "quoted secret text", "param": wrong, "code": code}})
        else:
            self._take(name, data, fields)

    def _take(self, name: str, data: bytes, fields: dict[str, str]) -> None:
        is_async = self.path.endswith("/async")
        with self.server.lock:
            self.server.posts.append((self.path, fields, data))
        time.sleep(self.server.work_s)
        if self.server.together is not None:
            self.server.together.wait()
        pages = _pages(name, data)
        most_pages, most_mb = (2_000, 500) if is_async else (self.server.sync_pages, 100)
        if len(pages) > most_pages or len(data) > most_mb * _MB:
            self._send(413, {"error": {"code": "too_large"}})
        elif is_async:
            with self.server.lock:
                request_id = f"request-{len(self.server.requests)}"
                self.server.requests[request_id] = (name, data)
                self.server.failed[request_id] = self.server.failing_pages
            self._send(200, {"request_id": request_id})
        else:
            self._send(200, self._answer(pages, 1, fields["model"]))

    def _counted(self) -> bool:
        """Whether the rate allows this document."""
        now = time.monotonic()
        with self.server.lock:
            self.server.tried.append((now, self.path))
            recent = sum(now - moment < 1.0 for moment, _ in self.server.tried)
        return not self.server.per_second or recent <= self.server.per_second

    def do_GET(self) -> None:
        if self._spoilt():
            return
        if "/download/" in self.path:
            self._download()
            return
        if self._refused():
            return
        request_id = self.path.rpartition("/")[2]
        if request_id not in self.server.requests:
            self._send(404, {"error": {"code": "not_found"}})
            return
        count = self.server.polls[request_id] = self.server.polls.get(request_id, 0) + 1
        if self.server.is_failing:
            self._send(200, {"id": request_id, "status": "failed", "failure_message": "quoted secret text"})
        elif count < self.server.polls_needed:
            self._send(200, {"id": request_id, "status": "started", "batches": []})
        else:
            self._send(200, {"id": request_id, "status": "completed", "batches": self._batches(request_id, count)})

    def _batches(self, request_id: str, count: int) -> list[dict[str, Any]]:
        total = len(_pages(*self.server.requests[request_id]))
        base = self.server.url
        return [
            {
                "id": start,
                "start_page": start + 1,
                "end_page": min(total, start + _BATCH_PAGES),
                "status": "completed",
                "download_url": f"{base}/download/{request_id}/{start}/{count}",
            }
            if start + 1 not in self.server.failed[request_id]
            else {
                "id": start,
                "start_page": start + 1,
                "end_page": min(total, start + _BATCH_PAGES),
                "status": "failed",
            }
            for start in range(0, total, _BATCH_PAGES)
        ][::-1]

    def _download(self) -> None:
        request_id, start, count = self.path.split("/")[-3:]
        if int(count) <= self.server.expiring:
            expired = self.server.expired
            self._send(expired.status, expired.body, expired.headers)
            return
        pages = _pages(*self.server.requests[request_id])[int(start) :][:_BATCH_PAGES]
        self._send(200, self._answer(pages, 1 if self.server.is_relative else int(start) + 1, _ALIAS))

    def _answer(self, pages: list[str], first: int, model: str) -> dict[str, Any]:
        content = {"html": "", "markdown": "", "text": ""}
        usage = {"pages": len(pages)}
        model = self.server.dated if model == _ALIAS else model
        return {"api": "2.0", "model": model, "content": content, "elements": _elements(pages, first), "usage": usage}

    def _spoilt(self) -> bool:
        with self.server.lock:
            fault = self.server.faults.pop(0) if self.server.faults else None
            standing = [each for end, each in self.server.standing.items() if self.path.endswith(end)]
        fault = fault or next(iter(standing), None)
        if fault is None:
            return False
        if fault.is_cut:
            self.close_connection = True
        else:
            self._send(fault.status, fault.body, fault.headers)
        return True

    def _refused(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {KEY}":
            return False
        self._send(401, {"error": {"message": f"invalid key {self.headers.get('Authorization')}"}})
        return True

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
