"""Translates what `MilvusClient` raises: its own exceptions and raw gRPC errors.

Codes: milvus/pkg/util/merr of the server, pymilvus' ``ErrorCode``, and the legacy codes that 2.3 and Lite still send.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.vendor import grpc_errors
from s3_to_milvus.errors import (
    DiskFull,
    FatalError,
    QuotaExhausted,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    SchemaMismatch,
    TransientError,
    Unauthorized,
    Unavailable,
)

__all__ = ["is_bad_input", "is_missing", "is_not_loaded", "translate", "translated"]

_MISSING = {4, 100}
_NOT_LOADED = {101, 103}
_RATE_LIMIT = {8}
_DENIED = {9}
_NO_ROOM = {102, 250}  # too many collections; too many collections x partitions x shards
_AUTH = {1400, 1401, 1402}
_BAD_INPUT = {6, 1100, 1101, 1102, 1103, 1104, 1700, 1701, 1702, 1703, 1801}
_BAD_INPUT_CLASSES = {"ParamError", "DataNotMatchException", "DataTypeNotMatchException", "DataTypeNotSupportException"}
_GRPC_AUTH = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
_GRPC_DOWN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED"}
_AUTH_WORDS = re.compile(r"auth check fail|unauthenticated|permission deny|permission denied|privilege", re.IGNORECASE)
_DISK_WORDS = re.compile(r"no space left|disk quota exceeded|read-only file system", re.IGNORECASE)
_FULL_WORDS = re.compile(r"quota exceeded|quota exhausted", re.IGNORECASE)
_LARGE_WORDS = re.compile(r"larger than max|message too large", re.IGNORECASE)
_INPUT_WORDS = re.compile(
    r"exceeds? max|is not a number|\bnan\b|infinity|dim(ension)?\b.*(match|expect)"
    r"|invalid (input|utf|index type)|not valid json",
    re.IGNORECASE,
)
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_TRUST_HINT = "Check the server's certificate, or name your own authority with vector_store.milvus.ca_bundle."
_NO_DATABASE = {800}
_SETTINGS_WORDS = re.compile(r"database not found|invalid index type", re.IGNORECASE)
_SETTINGS_HINT = "Correct vector_store.milvus.db_name, index_type or index_params; a database must be made before."
_RETRY_AFTER_S = 3.0


def is_missing(exc: Exception) -> bool:
    """True when the collection is not there."""
    text = _message(exc).lower()
    return _code(exc) in _MISSING or "can't find collection" in text or "collection not found" in text


def is_not_loaded(exc: Exception) -> bool:
    """True when the collection must be loaded first."""
    return _code(exc) in _NOT_LOADED or "not loaded" in _message(exc).lower()


def is_bad_input(exc: Exception) -> bool:
    """True where the server did not like what it was asked, rather than could not do it."""
    return not _grpc_status(exc) and _is_bad_input(exc, _code(exc), _message(exc))


def translate(exc: Exception, doing: str, *, is_insert: bool = False) -> S3ToMilvusError:
    """What we raise instead; ``doing`` says what was tried."""
    message = f"Milvus: {doing}: {_message(exc)}"
    status = _grpc_status(exc)
    if status:
        return _of_status(status, message, is_insert)
    return _of_code(exc, message, is_insert)


@contextmanager
def translated(doing: str, *, is_insert: bool = False) -> Iterator[None]:
    """The client's errors become ours."""
    try:
        yield
    except S3ToMilvusError:
        raise
    except Exception as exc:
        if isinstance(exc, (*grpc_errors(), OSError)):
            raise translate(exc, doing, is_insert=is_insert) from exc
        raise


def _of_status(status: str, message: str, is_insert: bool) -> S3ToMilvusError:
    if status in _GRPC_AUTH:
        return Unauthorized(message)
    if status == "RESOURCE_EXHAUSTED":
        if _LARGE_WORDS.search(message):
            return Rejected(message) if is_insert else FatalError(message)
        return RateLimited(message, retry_after_s=_RETRY_AFTER_S)
    if status == "UNIMPLEMENTED":
        return FatalError(message, hint="This server is too old, or is no Milvus: 2.3 or newer is needed.")
    if _UNTRUSTED in message:
        return Unavailable(message, hint=_TRUST_HINT)
    return Unavailable(message) if status in _GRPC_DOWN else TransientError(message)


def _of_code(exc: Exception, message: str, is_insert: bool) -> S3ToMilvusError:
    code, words = _code(exc), _message(exc)  # without the name of a collection that we put in front
    if code in _AUTH or _AUTH_WORDS.search(words):
        return Unauthorized(message)
    if code in _NO_DATABASE or _SETTINGS_WORDS.search(words):
        return FatalError(message, hint=_SETTINGS_HINT)
    if code in _NO_ROOM:  # one collection can't be made; those that stand take rows
        return SchemaMismatch(
            message, hint="Lead several folders into one collection (routes), or raise Milvus' limit."
        )
    if code in _RATE_LIMIT:
        return RateLimited(message, retry_after_s=_RETRY_AFTER_S)
    if _DISK_WORDS.search(words):
        return DiskFull(message)
    if code in _DENIED or _FULL_WORDS.search(words):
        return QuotaExhausted(message, hint="Make room on the disk or raise the quota of Milvus.")
    if is_insert and _is_bad_input(exc, code, words):
        return Rejected(message)
    if code in _BAD_INPUT or type(exc).__name__ in _BAD_INPUT_CLASSES:
        return FatalError(message, hint="This is a defect, or the collection was made by another program.")
    return TransientError(message)


def _is_bad_input(exc: Exception, code: int, words: str) -> bool:
    if code in _BAD_INPUT or type(exc).__name__ in _BAD_INPUT_CLASSES or getattr(exc, "is_input_error", False):
        return True
    return _INPUT_WORDS.search(words) is not None


def _code(exc: Exception) -> int:
    code: Any = getattr(exc, "code", 0)
    return int(code) if isinstance(code, int) else 0


def _grpc_status(exc: Exception) -> str:
    """The gRPC status by name; pymilvus puts it in the place of its own code when it gave up."""
    code: Any = getattr(exc, "code", None)
    if callable(code):
        code = code()
    return str(code.name) if hasattr(code, "name") and not isinstance(code, int) else ""


def _message(exc: Exception) -> str:
    details: Any = getattr(exc, "details", None)
    text = details() if callable(details) else getattr(exc, "message", "")
    return str(text or exc).strip()
