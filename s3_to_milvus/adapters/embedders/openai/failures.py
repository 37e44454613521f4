"""Failures of the API in our words. Nothing that the server says is repeated: it may quote texts, or a part of the key.

Codes and meanings: https://platform.openai.com/docs/guides/error-codes
"""

from typing import Any

from s3_to_milvus.errors import (
    ConfigError,
    QuotaExhausted,
    RateLimited,
    Rejected,
    S3ToMilvusError,
    Unauthorized,
    Unavailable,
)

__all__ = ["TooLong", "translated"]

_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"}
_TOO_LONG = ("maximum context length", "max_tokens_per_request", "max 300000 tokens", "too many tokens", "too long")


class TooLong(Rejected):
    """A text, or all texts of a request together, are too long: smaller pieces may pass."""


def translated(error: Exception) -> S3ToMilvusError:
    """What the engine understands, for an error of the SDK."""
    status = getattr(error, "status_code", None)
    if status is None:
        return Unavailable(f"The embedding service does not answer: {type(error).__name__}.")
    code = str(getattr(error, "code", "") or "")
    wait_s = _wait_s(getattr(error, "response", None))
    if status == 429 and code in _QUOTA:
        return QuotaExhausted(
            f"The embedding service's quota is used up ({code}).", hint="Add credit or raise the limit."
        )
    if status == 429:
        return RateLimited("The embedding service asks to slow down.", retry_after_s=wait_s)
    if status in (401, 403):
        hint = "Check S2M_EMBEDDER__OPENAI__API_KEY (or OPENAI_API_KEY)."
        return Unauthorized(f"The embedding service refuses the key ({status}).", hint=hint)
    if status == 404:
        hint = "Check S2M_EMBEDDER__OPENAI__MODEL and S2M_EMBEDDER__OPENAI__BASE_URL."
        return ConfigError("The embedding service knows no such model or address (404).", hint=hint)
    if status in (400, 413, 422):
        if status == 413 or any(part in str(error).lower() for part in _TOO_LONG) or code == "max_tokens_per_request":
            return TooLong("A text is too long for the embedding model.")
        return Rejected(f"The embedding service refuses a text ({status}{f', {code}' if code else ''}).")
    return Unavailable(f"The embedding service answered {status}.", retry_after_s=wait_s)


def _wait_s(response: Any) -> float | None:
    """When to come again, as the answer's headers say; None: they do not."""
    headers = getattr(response, "headers", None) or {}
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit_s)
        except (KeyError, ValueError):
            continue
    return None
