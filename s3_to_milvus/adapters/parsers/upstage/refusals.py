"""What a refusal of the service means, in our words; its own are never repeated, since they may quote documents."""

import json
from typing import Any

from s3_to_milvus.adapters.pacing import retry_after_s
from s3_to_milvus.errors import (
    DocumentTooLarge,
    FatalError,
    QuotaExhausted,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    Unauthorized,
    Unavailable,
    UnreadableDocument,
)

__all__ = ["KEY_HINT", "Forgotten", "NoResult", "NoSuchAddress", "TookTooLong", "asked_s", "refused"]

KEY_HINT = "Set S2M_PARSER__UPSTAGE__API_KEY (or UPSTAGE_API_KEY)."
# A key whose credit is used up is refused with 401, code api_key_is_not_allowed, and these words.
_CREDIT = (b"credit", b"billing", b"suspended", b"insufficient_quota")
_MERGE = "merge_multipage_tables"  # only for documents of few pages: a long one is refused for it
_SETTINGS = {"model", "mode", "ocr", "output_formats", "coordinates", "chart_recognition", _MERGE}


class Forgotten(Unavailable):
    """The service does not know a request any more: it must be submitted anew."""


class NoResult(Unavailable):
    """The store of results gives none at this address: a new one must be asked for."""


class NoSuchAddress(FatalError):
    """What was asked for is not there (404). Where a document was sent to, no document can be: the queue is held."""


class TookTooLong(Unavailable):
    """The service did not finish a document while we waited: it must be submitted instead."""


def refused(answer: Any, *, has_document: bool) -> S3ToMilvusError:
    """What an answer of the service means that is no success; ``has_document``: it is about one that was sent."""
    status = answer.status_code
    wait_s = asked_s(answer)
    if status in (401, 402, 403, 429) and (status == 402 or any(word in answer.content.lower() for word in _CREDIT)):
        return QuotaExhausted("Upstage asks for payment: the credit is used up.", hint="Add credit to the account.")
    if has_document and status in (400, 403, 404, 415, 422) and (setting := _setting(answer.content)):
        return _about(setting, status)
    if status in (401, 403):
        return Unauthorized(f"Upstage refuses the key ({status}).", hint=KEY_HINT)
    if status in (408, 504):
        return TookTooLong(f"Upstage did not finish in time ({status}).", retry_after_s=wait_s)
    if status == 429:
        return RateLimited("Upstage asks to slow down.", retry_after_s=wait_s)
    if status == 404:
        return NoSuchAddress("Upstage knows no such address (404).", hint="Check S2M_PARSER__UPSTAGE__API_URL.")
    if has_document and status == 413:
        return DocumentTooLarge("The document is too large for Upstage.")
    if has_document and status in (400, 415, 422):
        return UnreadableDocument(
            f"Upstage refuses the document ({status}): it is damaged or of no kind that it reads."
        )
    return Unavailable(f"Upstage answered {status}.", retry_after_s=wait_s)


def asked_s(answer: Any) -> float | None:
    """The wait that an answer asks for."""
    return retry_after_s(answer.headers.get("retry-after", ""))


def _about(setting: str, status: int) -> S3ToMilvusError:
    """With a wrong setting no document would pass, and none must be buried for it."""
    hint = f"Check S2M_PARSER__UPSTAGE__{setting.upper()}."
    if setting == _MERGE:
        return Rejected(
            f"Upstage refuses {setting} for this document ({status}): it may have too many pages.", hint=hint
        )
    return FatalError(f"Upstage refuses the setting {setting} ({status}).", hint=hint)


def _setting(content: bytes) -> str:
    """Which of the parameters that we send an error names; empty: none. Its words prove nothing."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    error = found.get("error") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return ""
    param, code = error.get("param"), error.get("code")
    if isinstance(param, str) and param.lower() in _SETTINGS:
        return param.lower()
    return "model" if isinstance(code, str) and "model" in code.lower() else ""
