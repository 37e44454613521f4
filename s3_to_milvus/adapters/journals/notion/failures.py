"""Failures of Notion in our words: what certainly did not happen, what may have happened, what a person must change.

Codes and meanings: https://developers.notion.com/reference/status-codes. Nothing that Notion says is repeated, since
it may quote the entry; only names of properties are looked for in it.
"""

from s3_to_milvus.adapters.pacing import retry_after_s
from s3_to_milvus.errors import ConfigError, RateLimited, S3ToMilvusError, Unauthorized, Unavailable

__all__ = ["SHARE", "NotFound", "Refused", "Unsure", "translated"]

SHARE = "Share the database with the integration (its menu ••• → Connections)"
_TOKEN_HINT = "Set S2M_JOURNAL__NOTION__TOKEN (or NOTION_TOKEN) to the token of the integration."  # noqa: S105 - a hint
_ID_HINT = f"{SHARE}, and check S2M_JOURNAL__NOTION__DATABASE_ID (or NOTION_DATABASE_ID)."


class Unsure(Unavailable):
    """What was asked may have been done: look before asking again."""


class NotFound(ConfigError):
    """No such object, or it is not shared with the integration: Notion does not say which."""


class Refused(ConfigError):
    """The request is wrong. ``said`` is what Notion says, to find names in, never to be shown."""

    def __init__(self, message: str, *, said: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.said = said

    @property
    def is_in_trash(self) -> bool:
        """Whether a page was to be changed that a person has put into the trash."""
        return "archived" in self.said or "in trash" in self.said


def translated(error: Exception, now: float) -> S3ToMilvusError:
    """What the engine understands, for an error of the SDK or of its HTTP client. ``now`` in epoch seconds."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        wait_s = retry_after_s(str((getattr(error, "headers", None) or {}).get("retry-after", "")), now)
        return _of_status(status, str(error), wait_s)
    if type(error).__name__ in ("ConnectError", "PoolTimeout", "UnsupportedProtocol", "ProxyError"):
        return Unavailable(f"Notion cannot be reached: {type(error).__name__}.")
    if type(error).__name__ == "InvalidPathParameterError":
        return Refused("Notion's address for the database is wrong.", hint=_ID_HINT)
    return Unsure(f"Notion did not answer: {type(error).__name__}.")


def _of_status(status: int, said: str, wait_s: float | None) -> S3ToMilvusError:
    if status in (429, 529):
        return RateLimited(f"Notion asks to slow down ({status}).", retry_after_s=wait_s)
    if status == 401:
        return Unauthorized("Notion refuses the token (401).", hint=_TOKEN_HINT)
    if status == 403:
        hint = f"{SHARE}, and give it the rights to read, insert and update content."
        return Unauthorized("Notion does not let the integration do this (403).", hint=hint)
    if status == 404:
        text = "Notion knows no such database, or it is not shared with the integration (404)."
        return NotFound(text, hint=_ID_HINT)
    if status == 409 or status >= 500:
        return Unsure(f"Notion answered {status}.", retry_after_s=wait_s)
    if status < 400:
        return Refused(f"Notion answered {status}: a redirect is not followed.", hint="Check the base URL.")
    return Refused(f"Notion refuses the request ({status}).", said=said)
