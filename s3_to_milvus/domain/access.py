"""Who may do what: API keys with roles. Only a digest of a key is ever stored."""

import hashlib
import secrets
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["AccessKey", "Role", "digest_of", "new_key"]

_PREFIX = "s2m_"


class Role(IntEnum):
    """What a caller may do; each role may do what those below it may."""

    EVENTS = 1
    """Tell about changes, and nothing else: for a Lambda or a webhook."""
    VIEWER = 2
    """Search and read."""
    OPERATOR = 3
    """Sync, retry, check, repair, replay: nothing that the bucket does not say."""
    ADMIN = 4
    """Everything, keys and new sources, too."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One key. ``name`` is for people; ``digest`` is `digest_of` the key itself, which nobody knows but its holder."""

    name: str
    role: Role
    digest: str
    created_at: float


def new_key() -> str:
    """A key to hand out: 256 bits of chance, so that a plain digest of it cannot be guessed back."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """64 hex digits (SHA-256)."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
