"""The queue's front: observe, requeue, claim, heartbeat, release. Each function is the body of one transaction."""

from collections.abc import Sequence
from typing import Any

from s3_to_milvus.adapters.ledger.sqlite import statements as sql
from s3_to_milvus.adapters.ledger.sqlite.rows import LANE_NUMBERS, claim_of, key_of, object_number, place_of
from s3_to_milvus.adapters.ledger.sqlite.writer import Transaction
from s3_to_milvus.domain.objects import Lane, ObjectRef, sort_key
from s3_to_milvus.domain.records import Claim

__all__ = ["begin", "claim", "expire_all", "heartbeat", "observe", "raise_runs", "requeue", "suspect"]


def observe(txn: Transaction, refs: Sequence[ObjectRef], lane: Lane, now: float) -> None:
    """As `Ledger.observe`."""
    number = LANE_NUMBERS[lane]
    for ref in refs:
        _observe(txn, ref, number, now, is_retry=False)


def requeue(txn: Transaction, refs: Sequence[ObjectRef] | None, now: float) -> int:
    """As `Ledger.requeue`."""
    if refs is None:
        known = [ObjectRef(bucket, key_of(key)) for bucket, key in txn.execute(sql.FAILED).fetchall()]
    else:
        known = [
            ref
            for ref in dict.fromkeys(refs)
            if txn.execute(sql.FIND_OBJECT, (ref.bucket, sort_key(ref.key))).fetchone() is not None
        ]
    for ref in known:
        _observe(txn, ref, LANE_NUMBERS[Lane.LIVE], now, is_retry=True)
    return len(known)


def _observe(txn: Transaction, ref: ObjectRef, lane: int, now: float, *, is_retry: bool) -> None:
    key = sort_key(ref.key)
    row = txn.execute(sql.FIND_OBJECT, (ref.bucket, key)).fetchone()
    if row is None:
        oid = txn.execute(sql.NEW_OBJECT, (ref.bucket, key, bytes.fromhex(ref.object_id))).lastrowid
        txn.execute(sql.NEW_WORK, (oid, lane, now, 1, now, is_retry))
        txn.move(ref.bucket, None, "waiting")
        return
    oid, generation, outcome, has_work, run, *rest = row
    if not has_work:
        txn.execute(sql.NEW_WORK, (oid, lane, now, generation + 1, now, is_retry))
        txn.move(ref.bucket, outcome, "waiting")
        return
    values = {"oid": oid, "lane": lane, "now": now, "is_retry": is_retry}
    if run is not None:
        txn.execute(sql.OBSERVE_HELD, values)
        return
    txn.execute(sql.OBSERVE_FREE, values)
    txn.move(ref.bucket, place_of(outcome, has_work, (run, *rest)), "waiting")


def suspect(txn: Transaction, refs: Sequence[ObjectRef], now: float) -> int:
    """As `Ledger.suspect`."""
    return sum(_suspect(txn, ref, now) for ref in dict.fromkeys(refs))


def _suspect(txn: Transaction, ref: ObjectRef, now: float) -> bool:
    row = txn.execute(sql.FIND_OBJECT, (ref.bucket, sort_key(ref.key))).fetchone()
    if row is None:
        return False
    oid, generation, outcome, has_work, run, due, is_settled, error_code = row
    values = {"oid": oid, "lane": LANE_NUMBERS[Lane.BACKFILL], "now": now}
    if not has_work:
        txn.execute(sql.NEW_SUSPECT, values | {"generation": generation + 1})
        txn.move(ref.bucket, outcome, "waiting")
        return True
    if not is_settled or run is not None:
        txn.execute(sql.SUSPECT, values)
        return True
    txn.execute(sql.SUSPECT_SETTLED, values)
    txn.move(ref.bucket, place_of(outcome, has_work, (run, due, is_settled, error_code)), "waiting")
    return True


def claim(txn: Transaction, owner: str, limit: int, now: float, lease_s: float) -> list[Claim]:
    """As `Ledger.claim`."""
    rows: list[tuple[Any, ...]] = []
    for lane in LANE_NUMBERS.values():
        if len(rows) < limit:
            rows += txn.execute(sql.CLAIM_LANE, (lane, now, limit - len(rows))).fetchall()
    rows = _alone_if_suspect(rows)
    if not rows:
        return []
    last_run = txn.execute(sql.LAST_RUN).fetchone()[0]
    claims = [claim_of(row, run, now + lease_s) for run, row in enumerate(rows, last_run + 1)]
    holds, runs, seen_before = [], [], []
    for row, each in zip(rows, claims, strict=True):
        oid, bucket, key, object_id = row[:4]
        number = object_number(object_id)
        holds.append((owner, each.run, each.lease_until, oid))
        runs.append((each.run, number, bucket, key, each.attempts, now))
        if each.generation > 1 or each.attempts > 1 or each.deaths:
            seen_before.append((number,))
        txn.move(bucket, row[14], "running")
    txn.connection.executemany(sql.HOLD, holds)
    txn.connection.executemany(sql.NEW_RUN, runs)
    txn.connection.executemany(sql.KEEP_NEWEST_RUNS, seen_before)
    return claims


def _alone_if_suspect(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The first row alone where its object may kill who works on it; else all rows of which nobody thinks so."""
    suspect = [row[7] > 0 or row[9] is not None for row in rows]  # deaths; the claim that holds it
    if suspect and suspect[0]:
        return rows[:1]
    return [row for row, is_suspect in zip(rows, suspect, strict=True) if not is_suspect]


def heartbeat(txn: Transaction, claims: Sequence[Claim], now: float, lease_s: float) -> list[bool]:
    """As `Ledger.heartbeat`."""
    values = [(now + lease_s, each.ref.bucket, sort_key(each.ref.key), each.run) for each in claims]
    return [txn.execute(sql.HEARTBEAT, each).fetchone() is not None for each in values]


def raise_runs(txn: Transaction, least: int) -> None:
    """As `Ledger.raise_runs`."""
    txn.execute(sql.RAISE_RUNS, {"least": least})


def begin(txn: Transaction, claim: Claim) -> bool:
    """As `Ledger.begin`."""
    values = (claim.ref.bucket, sort_key(claim.ref.key), claim.run)
    return txn.execute(sql.BEGUN, values).fetchone() is not None


def expire_all(txn: Transaction, now: float) -> int:
    """As `Ledger.expire_all`."""
    return int(txn.execute(sql.EXPIRE_ALL, (now,)).rowcount)
