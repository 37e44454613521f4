"""A server that follows Upstage's documented Document Parse API: limits, batches, addresses that expire, faults."""

import contextlib
import email
import email.policy
import json
import threading
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


@dataclass(frozen=True)
class Fault:
    """An answer in place of the right one; ``is_cut``: the connection ends without any."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False
    body: bytes = b'{"error": {"message": "quoted secret text"}}'


class UpstageServer(QuietServer):
    """``posts`` keeps (path, fields, bytes) of each document that was sent; ``faults`` are taken one by one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: list[Fault] = []
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.requests: dict[str, tuple[str, bytes]] = {}
        self.sync_pages = 100
        self.polls_needed = 1
        self.is_failing = self.is_relative = False
        self.expiring = 0
        self.failing_pages: set[int] = set()  # batches that begin there fail
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


class _Handler(QuietHandler):
    server: UpstageServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._spoilt() or self._refused():
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
        with self.server.lock:
            self.server.posts.append((self.path, fields, data))
        pages = _pages(name, data)
        if self.path.endswith("/async"):
            request_id = f"request-{len(self.server.requests)}"
            self.server.requests[request_id] = (name, data)
            self._send(200, {"request_id": request_id})
        elif len(pages) > self.server.sync_pages:
            self._send(413, {"error": {"code": "too_many_pages"}})
        else:
            self._send(200, self._answer(pages, 1, fields.get("model", "")))

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
            if start + 1 not in self.server.failing_pages
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
            self._send(403, {"error": "Request has expired"})
            return
        pages = _pages(*self.server.requests[request_id])[int(start) :][:_BATCH_PAGES]
        self._send(200, self._answer(pages, 1 if self.server.is_relative else int(start) + 1, "m"))

    def _answer(self, pages: list[str], first: int, model: str) -> dict[str, Any]:
        content = {"html": "", "markdown": "", "text": ""}
        usage = {"pages": len(pages)}
        return {"api": "2.0", "model": model, "content": content, "elements": _elements(pages, first), "usage": usage}

    def _spoilt(self) -> bool:
        with self.server.lock:
            fault = self.server.faults.pop(0) if self.server.faults else None
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
