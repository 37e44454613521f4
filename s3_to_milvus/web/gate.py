"""What every request passes: size limit, the service's own names, no writes from foreign pages, security headers."""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s3_to_milvus.domain.access import Role
from s3_to_milvus.engine.observe import log
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.web import framing
from s3_to_milvus.web.access import CHALLENGE, EVENT_PATHS, SNS_DOOR, Access, needed_role
from s3_to_milvus.web.bodies import Body, Pool, Room
from s3_to_milvus.web.callers import address_of, host_name
from s3_to_milvus.web.problems import Problem, problem, problem_of_system
from s3_to_milvus.web.refusals import Refusals, sender_in
from s3_to_milvus.web.seldom import Seldom

__all__ = ["CONTENT_SECURITY_POLICY", "MAX_BODY_BYTES", "Gate", "is_own_name"]

MAX_BODY_BYTES = 1 << 20
_MAX_BODIES_BYTES = 128 << 20
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SNS = b"x-amz-sns-message-type"
_API = ("/api/", "/upload_parse_document")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_CHEAP = ("/healthz", "/readyz", "/docs", "/openapi.json", "/api/v1/status")
_AGAIN = {"Retry-After": "10"}


def is_own_name(host: str, known: Iterable[str]) -> bool:
    """True for a Host header that no foreign domain name can stand behind: an address, localhost, a known name."""
    name = host_name(host)
    if name == "localhost" or name.endswith(".localhost") or name in known:
        return True
    return address_of(name) is not None


class Gate:
    """Pure ASGI, since it stands before every event: it costs microseconds.

    ``own_names`` gives further names that the service may be called by over loopback; ``heard`` is told the address
    of the socket that the first request came in by; ``room`` says how large a body may be by the path it is sent to
    (None: as most); ``access`` knows who may do what.
    """

    def __init__(
        self,
        app: ASGIApp,
        own_names: Callable[[], Iterable[str]] = tuple,
        heard: Callable[[str, int], None] = lambda host, port: None,
        room: Callable[[str], Room | None] = lambda path: None,
        access: Callable[[], Access | None] = lambda: None,
    ) -> None:
        self.app = app
        self._own_names = own_names
        self._heard = heard
        self._room = room
        self._access = access
        self._most_room = Room(MAX_BODY_BYTES, Pool(_MAX_BODIES_BYTES))
        self._seldom = Seldom()
        self._is_first = True
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A start that fails for a reason we know is told in two lines, not by a traceback."""

        async def send_plainly(message: Message) -> None:
            error = getattr(scope["app"].state, "failure", None)
            if message["type"] == "lifespan.startup.failed" and isinstance(error, S3ToMilvusError):
                hint = f"\nhint: {error.hint}" if error.hint else ""
                message = {**message, "message": f"error: {error.message}{hint}"}
            await send(message)

        await self.app(scope, receive, send_plainly)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            await self._pass_on(scope, receive, send_guarded)
        except ClientDisconnect:
            return
        except Exception as error:
            refusal = self._failure(error, scope)
            if is_begun:
                raise
            await refusal(scope, receive, send_guarded)

    def _failure(self, error: Exception, scope: Scope) -> Problem:
        """What failed in a way that nothing below knows; what the machine ran out of is no defect."""
        known = problem_of_system(error) if isinstance(error, OSError) else None
        if known is None:
            log.exception("request.failed", method=scope["method"], error=type(error).__name__)
            return problem(500, "defect", "Unexpected failure. This is a defect of s3-to-milvus.", "See the log.")
        if times := self._seldom.times(str(error)):
            log.warning("request.failed", method=scope["method"], message=str(error), times=times)
        return known

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._hear(scope)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        room = self._room(_path(scope)) or self._most_room
        refusal = self._refusal(scope, headers, room.allowed_bytes)
        if refusal is None:
            await self._admit(scope, Body(receive, room, int(headers.get(b"content-length", "0"))), send)
            return
        await self._heed(refusal, scope, headers)
        await refusal(scope, receive, send)

    async def _admit(self, scope: Scope, body: Body, send: Send) -> None:
        """Pass a request on; what is kept of its body counts until the answer begins."""

        async def send_releasing(message: Message) -> None:
            body.release()
            await send(message)

        self._refusals.put_into(scope)
        if not body.fits():
            busy = problem(429, "too_many_uploads", "Other uploads take all room there is.", headers=_AGAIN)
            await busy(scope, body.receive, send)
            return
        try:
            await self.app(scope, body.receive, send_releasing)
        finally:
            body.release()

    async def _heed(self, refusal: Problem, scope: Scope, headers: dict[bytes, str]) -> None:
        """Wait where a sender of events is refused too often; SNS shows a key only after it was asked for it."""
        path = _path(scope).rstrip("/")
        is_event = scope["method"] == "POST" and path in EVENT_PATHS and _SNS not in headers
        if is_event and refusal.status_code == HTTPStatus.UNAUTHORIZED:
            has_key = b"authorization" in headers or b"x-api-key" in headers
            await self._refusals.heed(sender_in(scope), "nobody knows its key" if has_key else "it has no key")

    def _hear(self, scope: Scope) -> None:
        server = scope.get("server")
        if self._is_first and server and address_of(server[0]) is not None:
            self._is_first = False
            self._heard(server[0], server[1])

    def _refusal(self, scope: Scope, headers: dict[bytes, str], allowed: int) -> Problem | None:
        if _CONTROL.search(scope["path"]):  # a route's pattern may match before a line's end
            return _refuse(HTTPStatus.BAD_REQUEST, "The path holds a control character.")
        if flaw := framing.flaw_in(scope["headers"]):
            return _refuse(HTTPStatus.BAD_REQUEST, flaw, {"Connection": "close"})
        if int(headers.get(b"content-length", "0")) > allowed:
            return _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {allowed} bytes.")
        access = self._access()
        is_open = access is None or access.is_open
        if is_open and _is_loopback(scope) and not is_own_name(headers.get(b"host", "localhost"), self._own_names()):
            return _refuse(HTTPStatus.MISDIRECTED_REQUEST, "This service is not called by that name here.")
        if _is_foreign_page(headers) and _costs(scope["method"], _path(scope), headers):
            return _refuse(HTTPStatus.FORBIDDEN, "A page of another site may not set anything to work here.")
        return None if access is None else _unless_allowed(access, scope, headers)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _refuse(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> Problem:
    return problem(int(status), status.name.lower(), detail, headers=headers)


def _unless_allowed(access: Access, scope: Scope, headers: dict[bytes, str]) -> Problem | None:
    """None where the caller has the role that the request needs; signed events are checked by their door."""
    path = _path(scope)
    needed = needed_role(scope["method"], path)
    if needed is None:
        return None
    role = access.role_of(scope, headers)
    if role is not None and role >= needed:
        return None
    is_signed = access.is_signed(headers) or ((scope["method"], path) == SNS_DOOR and access.is_by_sns(headers))
    if needed == Role.EVENTS and is_signed:
        return None
    if role is None and access.is_signed(headers) and not path.startswith(_API):
        hint = "Signed events go to /events or /process_s3_event: correct the sender's address."
        return problem(404, "not_found", "Nothing here takes signed events.", hint)
    if role is None:
        hint = "Send a key as `Authorization: Bearer …`; `s3-to-milvus keys add NAME` makes one."
        return problem(401, "unauthorized", "This service asks for a key.", hint, headers=CHALLENGE)
    hint = f"It needs the role {needed.name.lower()}."
    return problem(403, "forbidden", f"A key with the role {role.name.lower()} may not do that.", hint)


def _is_loopback(scope: Scope) -> bool:
    """True when the connection came in by a loopback address, where a rebound domain name would come in, too."""
    server: tuple[str, Any] | None = scope.get("server")
    address = address_of(server[0]) if server else None
    return address is not None and address.is_loopback


def _is_foreign_page(headers: dict[bytes, str]) -> bool:
    """True when a browser says that a page of another origin sends this request. Programs say nothing of the kind."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get(b"origin")
    return origin is not None and urlsplit(origin).netloc != headers.get(b"host")


def _costs(method: str, path: str, headers: dict[bytes, str]) -> bool:
    """Whether a page of another site may not even ask: ``<img src>`` sends a GET, too.

    A link that somebody follows from there is his own wish, and opens alone.
    """
    if method not in _READING:
        return True
    is_followed = headers.get(b"sec-fetch-user") == "?1" and headers.get(b"sec-fetch-dest") == "document"
    return method != "OPTIONS" and not is_followed and path not in _CHEAP and not path.startswith("/static/")
