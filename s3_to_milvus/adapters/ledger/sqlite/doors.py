"""What the doors keep: bodies in quarantine, tickets of outside services, access keys."""

from collections.abc import Sequence
from typing import Any

from s3_to_milvus.adapters.ledger.sqlite.connections import ReadPool
from s3_to_milvus.adapters.ledger.sqlite.failures import checks_rows
from s3_to_milvus.adapters.ledger.sqlite.writer import Transaction
from s3_to_milvus.domain.access import AccessKey, Role
from s3_to_milvus.domain.limits import storable_text
from s3_to_milvus.domain.quarantine import (
    MAX_BODY_CHARS,
    MAX_QUARANTINED,
    MAX_QUARANTINED_CHARS,
    TICKET_S,
    QuarantinedBody,
)

__all__ = [
    "access_keys",
    "drop_access_key",
    "drop_ticket",
    "put_access_key",
    "put_ticket",
    "quarantine",
    "quarantined",
    "ticket",
    "unquarantine",
]

_QUARANTINE = "INSERT INTO quarantine (received_at, source, reason, body) VALUES (?, ?, ?, ?)"
_FORGET_OLDEST = """DELETE FROM quarantine WHERE id <= (SELECT id FROM quarantine ORDER BY id DESC LIMIT 1 OFFSET ?)"""
_LAST = "SELECT COALESCE(MAX(id), 0) FROM quarantine"
_FORGET_LONG = """DELETE FROM quarantine WHERE id <= (SELECT id FROM
    (SELECT id, SUM(LENGTH(body)) OVER (ORDER BY id DESC) AS total FROM quarantine)
    WHERE total > ? ORDER BY id DESC LIMIT 1)"""
_LONG_CHARS = MAX_QUARANTINED_CHARS // MAX_QUARANTINED  # shorter ones can't be too much together
_ADDED_UP_EVERY = 16  # bodies: it reads them all
_QUARANTINED = "SELECT body, reason, source, received_at, id FROM quarantine WHERE id > ? ORDER BY id LIMIT ?"
_UNQUARANTINE = "DELETE FROM quarantine WHERE id = ?"
_TICKET = "SELECT value FROM tickets WHERE key = ?"
_PUT_TICKET = "REPLACE INTO tickets (key, value, put_at) VALUES (?, ?, ?)"
_FORGET_TICKETS = "DELETE FROM tickets WHERE put_at < ?"
_DROP_TICKET = "DELETE FROM tickets WHERE key = ?"
_ACCESS_KEYS = "SELECT name, role, digest, created_at FROM access_keys ORDER BY name"
_PUT_ACCESS_KEY = "REPLACE INTO access_keys (name, role, digest, created_at) VALUES (?, ?, ?, ?)"
_DROP_ACCESS_KEY = "DELETE FROM access_keys WHERE name = ? RETURNING 1"


def quarantine(txn: Transaction, bodies: Sequence[QuarantinedBody]) -> None:
    """As `Ledger.quarantine`."""
    rows = [
        (each.received_at, each.source, each.reason[:1_000], storable_text(each.body)[:MAX_BODY_CHARS])
        for each in bodies
    ]
    txn.connection.executemany(_QUARANTINE, rows)
    txn.execute(_FORGET_OLDEST, (MAX_QUARANTINED,))
    if any(len(row[-1]) > _LONG_CHARS for row in rows):
        (last,) = txn.execute(_LAST).fetchone()
        if last // _ADDED_UP_EVERY > (last - len(rows)) // _ADDED_UP_EVERY:
            txn.execute(_FORGET_LONG, (MAX_QUARANTINED_CHARS,))


def quarantined(pool: ReadPool, after: int, limit: int) -> list[QuarantinedBody]:
    """As `Ledger.quarantined`."""
    with pool.borrow() as connection:
        return [QuarantinedBody(*row) for row in connection.execute(_QUARANTINED, (after, limit)).fetchall()]


def unquarantine(txn: Transaction, ids: Sequence[int]) -> None:
    """As `Ledger.unquarantine`."""
    txn.connection.executemany(_UNQUARANTINE, [(each,) for each in ids])


def ticket(pool: ReadPool, key: str) -> str | None:
    """As `Ledger.ticket`."""
    with pool.borrow() as connection:
        row = connection.execute(_TICKET, (key,)).fetchone()
    return None if row is None else str(row[0])


def put_ticket(txn: Transaction, key: str, value: str, now: float) -> None:
    """As `Ledger.put_ticket`."""
    txn.execute(_PUT_TICKET, (key, value, now))
    txn.execute(_FORGET_TICKETS, (now - TICKET_S,))


def drop_ticket(txn: Transaction, key: str) -> None:
    """As `Ledger.drop_ticket`."""
    txn.execute(_DROP_TICKET, (key,))


def access_keys(pool: ReadPool) -> list[AccessKey]:
    """As `Ledger.access_keys`."""
    with pool.borrow() as connection:
        return [_key_of(row) for row in connection.execute(_ACCESS_KEYS).fetchall()]


@checks_rows
def _key_of(row: tuple[Any, ...]) -> AccessKey:
    name, role, digest, created_at = row
    return AccessKey(name, Role(role), digest, created_at)


def put_access_key(txn: Transaction, key: AccessKey) -> None:
    """As `Ledger.put_access_key`."""
    txn.execute(_PUT_ACCESS_KEY, (key.name, int(key.role), key.digest, key.created_at))


def drop_access_key(txn: Transaction, name: str) -> bool:
    """As `Ledger.drop_access_key`."""
    return txn.execute(_DROP_ACCESS_KEY, (name,)).fetchone() is not None
