"""JSON as this service writes it, and every failure as an RFC 9457 problem (``application/problem+json``)."""

import errno
import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from s3_to_milvus.domain.scarcity import without_blame
from s3_to_milvus.engine.answers import problem_of
from s3_to_milvus.errors import (
    ConfigError,
    DataInUse,
    DiskFull,
    FatalError,
    PermanentError,
    RemovalGuard,
    S3ToMilvusError,
    TransientError,
)

__all__ = ["Json", "Problem", "add_handlers", "dumps", "invalid", "problem", "problem_of_error", "problem_of_system"]

_STATUS: tuple[tuple[type[S3ToMilvusError], int], ...] = (
    (DataInUse, 409),
    (RemovalGuard, 409),
    (ConfigError, 422),
    (PermanentError, 422),
    (TransientError, 503),
    (DiskFull, 507),
    (FatalError, 503),
)
_PLAIN = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ESCAPED = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def dumps(content: Any) -> bytes:
    """UTF-8 JSON; a text that no UTF-8 can hold (an undecodable file name) is escaped, so that it survives."""
    try:
        return _PLAIN.encode(content).encode()
    except UnicodeEncodeError:
        return _ESCAPED.encode(content).encode()


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """See `dumps`."""
        return dumps(content)


class Problem(Json):
    """A failure in words."""

    media_type = "application/problem+json"


def problem(
    status: int, code: str, detail: str, hint: str = "", *, headers: Mapping[str, str] | None = None, **more: Any
) -> Problem:
    """A problem with its stable code. ``more`` are extension members."""
    body = {
        "type": f"urn:s3-to-milvus:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
        **more,
    }
    return Problem(body, status, headers=headers)


def problem_of_error(error: S3ToMilvusError) -> Problem:
    """One of our errors as a problem."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    facts = problem_of(error)
    headers = {"Retry-After": str(math.ceil(facts["retry_after_s"]))} if "retry_after_s" in facts else None
    more = {name: value for name, value in facts.items() if name not in ("code", "message", "hint")}
    return problem(status, error.code, error.message, error.hint, headers=headers, **more)


def problem_of_system(error: OSError) -> Problem | None:
    """What this machine ran out of, as a problem; None for another error."""
    known = without_blame(error)
    if isinstance(known, S3ToMilvusError):
        return problem_of_error(known)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return problem(507, "disk_full", "There is no room left on the service's disk.", "Make room, then try again.")
    return None


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """A request that is not what the endpoint takes, field by field; values are not repeated."""
    lines = [{"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in errors]
    detail = "; ".join(f"{line['field']}: {line['message']}" if line["field"] else line["message"] for line in lines)
    hint = "The page /docs shows what this endpoint takes."
    return problem(422, "invalid_request", detail or "The request is not valid.", hint, errors=lines)


def add_handlers(app: FastAPI) -> None:
    """Turn every failure of this application into a problem."""
    app.add_exception_handler(S3ToMilvusError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _known(_request: Request, error: Exception) -> Response:
    assert isinstance(error, S3ToMilvusError)
    return problem_of_error(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid(error.errors())


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.__cause__, ValueError | RecursionError):
        return invalid([{"loc": ("body",), "msg": "JSON with such numbers, or so deep, is not read"}])
    name = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != name else f"{name}."
    return problem(error.status_code, name.lower().replace(" ", "_"), detail, headers=error.headers)
