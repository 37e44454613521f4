"""API keys: made, listed, dropped. A key is known to its holder only; the ledger keeps its digest."""

from typing import Any

from s3_to_milvus.domain.access import AccessKey, Role, digest_of, new_key
from s3_to_milvus.ports import Ledger

__all__ = ["add_key", "key_line"]


def add_key(ledger: Ledger, name: str, role: Role, now: float) -> dict[str, Any]:
    """Make a key, in place of another one of its name. The answer holds the key itself, this once."""
    key = new_key()
    made = AccessKey(name, role, digest_of(key), now)
    ledger.put_access_key(made)
    return {**key_line(made), "key": key}


def key_line(key: AccessKey) -> dict[str, Any]:
    """A key as lists show it."""
    return {"name": key.name, "role": key.role.name.lower(), "created_at": key.created_at}
