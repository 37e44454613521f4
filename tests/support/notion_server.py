"""A server that follows Notion's documented API: versions, types, limits, a search that lags, and scripted faults."""

import itertools
import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.http_server import QuietHandler, QuietServer, running
from tests.support.notion_checks import Invalid, check_properties, shown_value

__all__ = ["ORIGINAL", "TOKEN", "Fault", "NotionServer", "column_of", "notion_server", "plain"]

TOKEN = "ntn_token-that-must-never-be-shown"
_MOST_BYTES = 500_000
_CODES = {
    400: "validation_error",
    401: "unauthorized",
    403: "restricted_resource",
    404: "object_not_found",
    409: "conflict_error",
    429: "rate_limited",
    500: "internal_server_error",
    503: "service_unavailable",
    504: "gateway_timeout",
    529: "service_overload",
}

ORIGINAL: dict[str, Any] = {
    "Title": {"title": {}},
    "Status": {"select": {"options": [{"name": "Passed"}, {"name": "Failed"}]}},
    "Action": {"rich_text": {}},
    "Elapsed Time (s)": {"number": {}},
    "Timestamp": {"date": {}},
    "Message": {"rich_text": {}},
}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request. ``is_after``: its work is done nevertheless. ``status`` 0: the line is cut.

    ``hang_s``: so long passes before the answer. ``call``: done before the answer, when the work is done.
    """

    status: int = 500
    is_after: bool = False
    retry_after: str = ""
    message: str = "Something went wrong."
    hang_s: float = 0.0
    call: Callable[[], object] | None = None


@dataclass
class _Page:
    id: str
    source: str
    created: float
    versions: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    is_in_trash: bool = False

    def properties(self, at: float) -> dict[str, Any] | None:
        """As they were at a time; None: it was not there."""
        return next((properties for since, properties in reversed(self.versions) if since <= at), None)


class NotionServer(QuietServer):
    """``faults`` are taken one for each request that writes a page; ``any_faults`` for each request of any kind.

    ``lag_s``: how far the search is behind. ``per_second`` 0: no limit. ``is_refused``: rows with such a text.
    """

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, _Page] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.databases: dict[str, list[str]] = {}
        self.faults: deque[Fault | None] = deque()
        self.any_faults: deque[Fault | None] = deque()
        self.requests: list[tuple[str, str, Any]] = []
        self.lag_s = 0.0
        self.per_second = 0.0
        self.is_refused: Callable[[str], bool] = lambda text: False
        self.max_page_size = 100
        self.times: deque[float] = deque()
        self.lock = threading.RLock()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add_database(self, properties: Mapping[str, Any], *, sources: int = 1) -> str:
        """A database that is shared with the integration."""
        database_id = str(uuid.uuid4())
        self.databases[database_id] = [str(uuid.uuid4()) for _ in range(sources)]
        for source in self.databases[database_id]:
            self.sources[source] = {name: _typed(name, kind) for name, kind in properties.items()}
        return database_id

    def add_column(self, database_id: str, name: str, kind: Mapping[str, Any]) -> None:
        """As a person does."""
        for source in self.databases[database_id]:
            self.sources[source][name] = _typed(name, kind)

    def drop_column(self, database_id: str, name: str) -> None:
        """As a person does: what stood in it is gone."""
        self._change_column(database_id, name, lambda columns: columns.pop(name, None))

    def rename(self, database_id: str, old: str, new: str) -> None:
        """As a person does: the column keeps its id, and what stands in it."""
        self._change_column(database_id, old, lambda columns: columns.update({new: columns.pop(old)}))
        for source in self.databases[database_id]:
            self.sources[source][new]["name"] = new

    def _change_column(self, database_id: str, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        with self.lock:
            sources = self.databases[database_id]
            pages = [page for page in self.pages.values() if page.source in sources]
            for columns in [self.sources[each] for each in sources] + [
                row for page in pages for _, row in page.versions
            ]:
                if name in columns:
                    change(columns)

    def rows(self) -> list[dict[str, Any]]:
        """The properties of every page that is not in the trash, in the order of their making."""
        with self.lock:
            pages = sorted(
                (page for page in self.pages.values() if not page.is_in_trash), key=lambda page: page.created
            )
            return [page.versions[-1][1] for page in pages]


@contextmanager
def notion_server() -> Iterator[NotionServer]:
    """A running server."""
    with running(NotionServer()) as server:
        yield server


def plain(row: Mapping[str, Any], name: str) -> Any:
    """What a person reads in a property; None: it is empty or not there."""
    value = row.get(name)
    return None if value is None else shown_value(value)


def column_of(server: "NotionServer", name: str) -> list[Any]:
    """What all rows say in a column."""
    return [plain(row, name) for row in server.rows()]


def _typed(name: str, kind: Mapping[str, Any]) -> dict[str, Any]:
    of_type = next(iter(kind))
    return {
        "id": uuid.uuid5(uuid.NAMESPACE_DNS, name).hex[:4],
        "name": name,
        "type": of_type,
        **json.loads(json.dumps(kind)),
    }


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


class _Handler(QuietHandler):
    server: NotionServer

    def do_GET(self) -> None:
        self._handle({})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if len(content) > _MOST_BYTES:
            self._error(400, "body failed validation: the payload should be <= `500KB`.")
        else:
            self._handle(json.loads(content))

    do_PATCH = do_POST

    def _handle(self, body: dict[str, Any]) -> None:
        server = self.server
        path = self.path.split("?")[0].removeprefix("/v1")
        with server.lock:
            server.requests.append((self.command, path, body))
            writes = path.startswith("/pages")
            fault = server.any_faults.popleft() if server.any_faults else None
            if fault is None and writes and server.faults:
                fault = server.faults.popleft()
        try:
            if fault is None or fault.is_after:
                with server.lock:
                    status, answer = 200, self._answered(path, body)
            if fault is not None:
                self._fail(fault)
                return
        except _Refusal as refusal:
            self._error(refusal.status, refusal.message, refusal.code)
            return
        self._send(status, json.dumps(answer).encode())

    def _fail(self, fault: Fault) -> None:
        if fault.call is not None:
            fault.call()
        time.sleep(fault.hang_s)
        if fault.status == 0:
            self.close_connection = True
        elif fault.status == 502:
            self._send(502, b"<html><h1>502 Bad Gateway</h1></html>", {"Content-Type": "text/html"})
        else:
            self._error(fault.status, fault.message, headers={"Retry-After": fault.retry_after})

    def _answered(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        version = self.headers.get("Notion-Version", "")
        if not version:
            raise _Refusal(400, "Notion-Version header should be defined.", "missing_version")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refusal(401, "API token is invalid.")
        self._count()
        found = re.fullmatch(r"/(databases|data_sources|pages)(?:/([^/]+))?(/query)?", path)
        if found is None:
            raise _Refusal(400, "Invalid request URL.", "invalid_request_url")
        name = f"_{self.command.lower()}_{found[1]}{(found[3] or '').replace('/', '_')}"
        target = str(uuid.UUID(found[2])) if found[2] else ""
        answer: dict[str, Any] = getattr(self, name)(target, body, version)
        return answer

    def _count(self) -> None:
        server, now = self.server, time.monotonic()
        if not server.per_second:
            return
        while server.times and server.times[0] < now - 1:
            server.times.popleft()
        if len(server.times) >= server.per_second:
            raise _Refusal(429, "You have been rate limited. Please try again in a few minutes.")
        server.times.append(now)

    def _get_databases(self, target: str, _: Any, version: str) -> dict[str, Any]:
        if target not in self.server.databases:
            raise _Refusal(404, f"Could not find database with ID: {target}. Make sure it is shared.")
        ids = self.server.databases[target]
        if version < "2025-09-03":
            return {"object": "database", "id": target, "properties": self.server.sources[ids[0]]}
        return {"object": "database", "id": target, "data_sources": [{"id": each, "name": "jobs"} for each in ids]}

    def _post_databases(self, _: str, body: dict[str, Any], __: str) -> dict[str, Any]:
        if "properties" in body or "initial_data_source" not in body:
            raise _Refusal(400, "body failed validation: properties must be under initial_data_source")
        if body["parent"].get("type") != "page_id":
            raise _Refusal(400, "body failed validation: body.parent.page_id should be defined")
        made = self.server.add_database(body["initial_data_source"]["properties"])
        return self._get_databases(made, {}, "2026-03-11")

    def _get_data_sources(self, target: str, _: Any, __: str) -> dict[str, Any]:
        if target not in self.server.sources:
            raise _Refusal(404, f"Could not find data source with ID: {target}.")
        return {"object": "data_source", "id": target, "properties": self.server.sources[target]}

    def _post_data_sources_query(self, target: str, body: dict[str, Any], _: str) -> dict[str, Any]:
        schema = self._get_data_sources(target, {}, "")["properties"]
        conditions = body["filter"]["or"]
        if len(conditions) > 100:
            raise _Refusal(400, "body failed validation: body.filter.or.length should be <= `100`")
        at = time.monotonic() - self.server.lag_s
        pages = sorted(self.server.pages.values(), key=lambda page: page.created)
        pages = [page for page in pages if page.source == target and not page.is_in_trash]
        hits = [
            {"object": "page", "id": page.id, "properties": seen}
            for page in pages
            if (seen := page.properties(at)) is not None
            and any(_fits(condition, seen, schema) for condition in conditions)
        ]
        start, size = int(body.get("start_cursor") or 0), min(body.get("page_size", 100), self.server.max_page_size)
        more = str(start + size) if start + size < len(hits) else None
        return {"object": "list", "results": hits[start : start + size], "has_more": bool(more), "next_cursor": more}

    def _post_pages(self, _: str, body: dict[str, Any], __: str) -> dict[str, Any]:
        source = str(uuid.UUID(body["parent"]["data_source_id"]))
        if source not in self.server.sources:
            raise _Refusal(404, f"Could not find data source with ID: {source}.")
        page = _Page(str(uuid.uuid4()), source, next(_COUNTER))
        self._write(page, body["properties"])
        self.server.pages[page.id] = page
        return {"object": "page", "id": page.id, "in_trash": False}

    def _patch_pages(self, target: str, body: dict[str, Any], _: str) -> dict[str, Any]:
        page = self.server.pages.get(target)
        if page is None:
            raise _Refusal(404, f"Could not find page with ID: {target}.")
        if page.is_in_trash:
            raise _Refusal(
                400, "Can't edit page on block with an archived ancestor. You must unarchive the page first."
            )
        self._write(page, body["properties"])
        return {"object": "page", "id": page.id, "in_trash": False}

    def _write(self, page: _Page, properties: dict[str, Any]) -> None:
        try:
            check_properties(properties, self.server.sources[page.source])
            if any(self.server.is_refused(str(shown_value(value))) for value in properties.values()):
                raise Invalid("body failed validation: the row is not to be taken")
        except Invalid as invalid:
            raise _Refusal(400, str(invalid)) from None
        before = page.versions[-1][1] if page.versions else {}
        page.versions.append((time.monotonic(), {**before, **properties}))

    def _error(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        body = {
            "object": "error",
            "status": status,
            "code": code or _CODES.get(status, "internal_server_error"),
            "message": message,
            "request_id": str(uuid.uuid4()),
        }
        self._send(status, json.dumps(body).encode(), {name: value for name, value in (headers or {}).items() if value})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


_COUNTER = itertools.count()


def _fits(condition: dict[str, Any], properties: dict[str, Any], schema: dict[str, Any]) -> bool:
    name = condition["property"]
    if name not in schema:
        raise _Refusal(400, f"Could not find property with name or id: {name}")
    kind = schema[name]["type"]
    if kind not in condition:
        raise _Refusal(400, f"database property {name} does not match filter")
    text = str(plain(properties, name) or "")
    [(word, wanted)] = condition[kind].items()
    if word == "equals":
        return text == str(wanted)
    return str(wanted) in text if word == "contains" else text.startswith(str(wanted))
