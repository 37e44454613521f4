"""Failures of the API in our words. Nothing that the server says is repeated: it may quote texts, or a part of the key.

Codes and meanings: https://platform.openai.com/docs/guides/error-codes
"""

import math
import re
from collections.abc import Mapping

from s3_to_milvus.adapters.pacing import retry_after_s
from s3_to_milvus.errors import (
    FatalError,
    QuotaExhausted,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    Unauthorized,
    Unavailable,
)

__all__ = ["TooLong", "asked_wait_s", "translated"]

_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"}
_TOO_LONG = (
    "context length",  # OpenAI, vLLM: "maximum context length is"; Ollama: "exceeds the context length"
    "context_length_exceeded",
    "context size",  # llama.cpp: "exceeds the available context size"
    "must have less than",  # Text Embeddings Inference
    "max_sequence_length",
    "max_tokens_per_request",
    "tokens per request",
    "maximum input length",  # OpenAI, for one text of several: "'input[0]': maximum input length is 8192 tokens"
    "maximum model length",  # vLLM: "longer than the maximum model length"
    "too long",
    "too many tokens",
)
_OF_REQUEST = ("max_tokens_per_request", "tokens per request")
_OVER_MINUTE = "request too large"  # OpenAI, with 429: no minute of this account has room for the request
_TOKENS_ASKED = re.compile(r"limit (\d+)\b.*\brequested (\d+)")
_TOO_LARGE = "too large to process"  # llama.cpp, with 500
_SETTINGS = {"dimensions", "encoding_format", "model"}
_NO_DIMENSIONS = ("specifying dimensions", "matryoshka")  # OpenAI's older models; vLLM
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_RESETS = ("x-ratelimit-reset-tokens", "x-ratelimit-reset-requests")
_RESET_MOST_S = 60.0  # the header says when a budget is whole again; some of it is there sooner


class TooLong(Rejected):
    """A text, or all texts of a request together, are too long: smaller pieces may pass.

    ``is_of_request``: all together are, whatever each is. ``undivided``: what to raise where no piece can be smaller:
    no text is to blame for the limits of an account.
    """

    def __init__(self, *, is_of_request: bool = False, undivided: S3ToMilvusError | None = None) -> None:
        super().__init__("A text is too long for the embedding model.")
        self.is_of_request = is_of_request
        self.undivided = self if undivided is None else undivided


def translated(error: Exception) -> S3ToMilvusError:
    """What the engine understands, for an error of the SDK."""
    status = getattr(error, "status_code", None)
    if status is None:
        return Unavailable(f"The embedding service does not answer: {type(error).__name__}.")
    if _is_too_long(error, status):
        return TooLong(is_of_request=any(part in _said(error) for part in _OF_REQUEST))
    if status in (401, 402, 403, 404):
        return _for_a_person(status)
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    if status == 429:
        return _limited(error, headers)
    if status in (400, 413, 422):
        return _refused(error, status)
    return Unavailable(f"The embedding service answered {status}.", retry_after_s=_asked_s(headers))


def asked_wait_s(error: Exception) -> float | None:
    """When to come again, as the answer says (``Retry-After``); None: it does not, or there was none."""
    return _asked_s(getattr(getattr(error, "response", None), "headers", None) or {})


def _for_a_person(status: int) -> S3ToMilvusError:
    """What no retry mends. The queue is held: every other document would fail likewise."""
    if status == 402:
        return QuotaExhausted("The embedding service asks for payment (402).", hint="Add credit to the account.")
    if status == 404:
        hint = "Check S2M_EMBEDDER__OPENAI__MODEL and S2M_EMBEDDER__OPENAI__BASE_URL."
        return FatalError("The embedding service knows no such model or address (404).", hint=hint)
    hint = "Check S2M_EMBEDDER__OPENAI__API_KEY (or OPENAI_API_KEY)."
    return Unauthorized(f"The embedding service refuses the key ({status}).", hint=hint)


def _limited(error: Exception, headers: Mapping[str, str]) -> S3ToMilvusError:
    for known in (getattr(error, "code", None), getattr(error, "type", None)):
        if known in _QUOTA:
            hint = "Add credit or raise the limit."
            return QuotaExhausted(f"The embedding service's quota is used up ({known}).", hint=hint)
    wait_s = _asked_s(headers)
    wait_s = _reset_s(headers) if wait_s is None else wait_s
    limited = RateLimited("The embedding service asks to slow down.", retry_after_s=wait_s)
    return TooLong(is_of_request=True, undivided=limited) if _is_over_minute(error) else limited


def _is_over_minute(error: Exception) -> bool:
    """True where waiting does not help: the request alone is more than what a minute may have."""
    said = _said(error)
    asked = _TOKENS_ASKED.search(said)
    return _OVER_MINUTE in said or (asked is not None and int(asked[2]) > int(asked[1]))


def _is_too_long(error: Exception, status: int) -> bool:
    if status == 500:
        return _TOO_LARGE in _said(error)
    return status == 413 or (status in (400, 422) and any(part in _said(error) for part in _TOO_LONG))


def _refused(error: Exception, status: int) -> S3ToMilvusError:
    """A text's fault, or one of the settings: then no document would pass, and none must be buried for it."""
    if getattr(error, "param", None) in _SETTINGS or any(part in _said(error) for part in _NO_DIMENSIONS):
        hint = "Check S2M_EMBEDDER__OPENAI__MODEL and S2M_EMBEDDER__OPENAI__DIMENSIONS."
        return FatalError(f"The embedding service refuses the settings ({status}{_named(error)}).", hint=hint)
    return Rejected(f"The embedding service refuses a text ({status}{_named(error)}).")


def _said(error: Exception) -> str:
    """For looking into only."""
    return f"{error} {getattr(error, 'code', '')}".lower()


def _named(error: Exception) -> str:
    """The error's code, where it is a word of the API and no quotation."""
    code = str(getattr(error, "code", None) or "")
    return f", {code}" if re.fullmatch(r"[a-z][a-z0-9_]{0,60}", code) else ""


def _asked_s(headers: Mapping[str, str]) -> float | None:
    """When to come again, as the answer says; None: it does not."""
    try:
        wait_s = float(headers.get("retry-after-ms", "")) / 1_000
    except ValueError:
        wait_s = math.nan
    return retry_after_s(str(wait_s) if math.isfinite(wait_s) else headers.get("retry-after", ""))


def _reset_s(headers: Mapping[str, str]) -> float | None:
    """When OpenAI's budgets are whole again ("1m30s", "20ms"), at most a minute; None: the answer does not say."""
    spans = [_SPAN.findall(headers.get(name, "")) for name in _RESETS]
    waits = [sum(float(number) * _UNIT_S[unit] for number, unit in span) for span in spans if span]
    return min(max(waits), _RESET_MOST_S) if waits else None
