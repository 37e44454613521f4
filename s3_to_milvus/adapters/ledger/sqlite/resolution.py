"""The queue's back: commit, settle, retry, bury, release. Each function is the body of one transaction.

Every one of them finds the work row by object *and* run first: a claim that was lost writes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from s3_to_milvus.adapters.ledger.sqlite import statements as sql
from s3_to_milvus.adapters.ledger.sqlite.rows import garbage_json, object_number, place_of, record_values, stats_json
from s3_to_milvus.adapters.ledger.sqlite.writer import Transaction
from s3_to_milvus.domain.limits import storable_text
from s3_to_milvus.domain.objects import sort_key
from s3_to_milvus.domain.records import Claim, Commit, Failure, Outcome, Record, RunStats, SettleState

__all__ = ["bury", "commit", "note_run", "put_off", "release", "retry", "settle"]

_NONE, _TAKEOVER, _RECHECK = 0, 1, 2
# Runs of forgotten objects stay in the timeline for this many runs more.
_RUNS_KEPT_OF_GONE = 100_000
_NOTHING = RunStats()
_NO_FAILURE = Failure("", "")


class _Held(NamedTuple):
    """What `statements.FIND_HELD` tells of an object whose claim still holds it."""

    oid: int
    object_id: bytes
    outcome: str | None
    known_generation: int
    has_garbage: int
    record_error_code: str
    record_error: str
    generation: int
    run_generation: int
    suspicion: int
    is_committed: int
    dirty_since: float
    next_since: float | None
    is_retry: int
    next_is_retry: int
    attempts: int
    deaths: int
    error_code: str
    error: str
    not_before: float | None

    @property
    def is_moved(self) -> bool:
        return self.generation != self.run_generation


def _held(txn: Transaction, claim: Claim) -> _Held | None:
    row = txn.execute(sql.FIND_HELD, (claim.ref.bucket, sort_key(claim.ref.key), claim.run)).fetchone()
    return None if row is None else _Held._make(row)


class _Next(NamedTuple):
    """How a work row waits on after its claim; named as the columns. ``is_settled`` None: as it was."""

    due: float | None
    attempts: int
    deaths: int
    suspicion: int
    is_retry: int
    is_settled: int | None
    dirty_since: float
    error_code: str = ""
    error: str = ""
    not_before: float | None = None


def commit(txn: Transaction, commits: Sequence[Commit], now: float) -> list[bool]:
    """As `Ledger.commit`."""
    return [_commit(txn, each, now) for each in commits]


def _commit(txn: Transaction, each: Commit, now: float) -> bool:
    claim, record = each.claim, each.record
    row = txn.execute(sql.FIND_COMMITTING, (claim.ref.bucket, sort_key(claim.ref.key), claim.run)).fetchone()
    if row is None:
        return False
    oid, has_rows, collection, run, ids, chunk_count, garbage, is_committed, run_generation, dirty_since = row
    if has_rows and (record is None or record.run != run):
        garbage = garbage_json(garbage, collection, ids, run)
    txn.execute(sql.WRITE_RECORD, (*record_values(record), garbage, run_generation, oid))
    _count_rows(txn, (collection, chunk_count) if has_rows else None, record)
    if record is not None and record.ids:
        txn.execute(sql.RAISE_LAST_ID, {"name": record.collection, "last_id": record.ids.last})
    if is_committed:
        return True
    txn.execute(sql.MARK_COMMITTED, (oid,))
    outcome = record.outcome.value if record else "removed"
    failure = Failure(record.error_code, record.error) if record else _NO_FAILURE
    fresh_s = None if outcome == Outcome.FAILED else max(0.0, now - dirty_since)
    _finish(txn, claim, each.action, outcome, now, failure, each.stats, fresh_s)
    _tell(txn, claim, each.action, outcome, now, failure.message)
    return True


def _count_rows(txn: Transaction, before: tuple[str, int] | None, record: Record | None) -> None:
    after = (record.collection, record.chunk_count) if record is not None and record.ids else None
    if before == after:
        return
    for place, sign in ((before, -1), (after, 1)):
        if place is not None:
            txn.count("objects", place[0], sign)
            txn.count("chunks", place[0], sign * place[1])


def settle(txn: Transaction, claims: Sequence[Claim], now: float, recheck_s: float) -> list[SettleState]:
    """As `Ledger.settle`."""
    return [_settle(txn, claim, now, recheck_s) for claim in claims]


def _settle(txn: Transaction, claim: Claim, now: float, recheck_s: float) -> SettleState:
    held = _held(txn, claim)
    if held is None:
        return SettleState.LOST
    again = _again(held, now, recheck_s)
    is_forgotten = again is None and held.outcome is None
    if held.has_garbage or (again is None and held.known_generation != held.generation and not is_forgotten):
        txn.execute(sql.SETTLE_OBJECT, (held.generation if again is None else held.known_generation, held.oid))
    if again is not None:
        _let_go(txn, claim, held, again)
        return SettleState.AGAIN
    if held.outcome == Outcome.FAILED:
        _let_go(txn, claim, held, _dead(held, held.record_error_code, held.record_error))
        return SettleState.DONE
    txn.execute(sql.WORK_DONE, (held.oid,))
    txn.move(claim.ref.bucket, "running", held.outcome)
    if is_forgotten:
        _forget(txn, held, claim.run)
    return SettleState.DONE


def _again(held: _Held, now: float, recheck_s: float) -> _Next | None:
    """How the object waits on where it must be looked at once more; None where the claim did all there was to do."""
    is_suspect = held.suspicion == _TAKEOVER
    if held.is_moved:
        since = now if held.next_since is None else held.next_since
        return _Next(now, 0, 0, _TAKEOVER if is_suspect else _NONE, held.next_is_retry, 0, since)
    if is_suspect:
        return _Next(now + recheck_s, 0, 0, _RECHECK, 0, 1, held.dirty_since)
    return None


def _dead(held: _Held, error_code: str, error: str, retry_at: float | None = None) -> _Next:
    # Where no record tells of the failure, the later try is the next attempt.
    is_settled = int(retry_at is None or held.outcome == Outcome.FAILED)
    return _Next(retry_at, held.attempts, 0, _NONE, 0, is_settled, held.dirty_since, error_code, error)


def _let_go(txn: Transaction, claim: Claim, held: _Held, following: _Next) -> None:
    values = following._replace(error=storable_text(following.error))._asdict() | {"oid": held.oid}
    is_settled = txn.execute(sql.RESOLVED, values).fetchone()[0]
    place = place_of(held.outcome, True, (None, following.due, is_settled, following.error_code))
    txn.move(claim.ref.bucket, "running", place)


def _forget(txn: Transaction, held: _Held, run: int) -> None:
    txn.execute(sql.FORGET_OBJECT, (held.oid,))
    txn.execute(sql.MARK_RUNS_GONE, (object_number(held.object_id),))
    txn.execute(sql.FORGET_RUNS_OF_GONE, (run - _RUNS_KEPT_OF_GONE,))


def retry(
    txn: Transaction,
    claim: Claim,
    failure: Failure,
    now: float,
    due: float,
    stats: RunStats,
    *,
    is_unclean: bool,
    is_charged: bool,
) -> SettleState:
    """As `Ledger.retry`."""
    held = _held(txn, claim)
    if held is None:
        return SettleState.LOST
    _finish(txn, claim, "retry", "failed", now, failure, stats)
    suspicion = _TAKEOVER if is_unclean else held.suspicion
    attempts = held.attempts - (0 if is_charged else 1)
    _let_go(txn, claim, held, _handed_back(held, now if held.is_moved else due, attempts, suspicion, failure))
    return SettleState.AGAIN


def _handed_back(held: _Held, due: float, attempts: int, suspicion: int, failure: Failure) -> _Next:
    """The row of a claim that was not resolved; an object observed meanwhile starts counting its attempts anew."""
    counted = 0 if held.is_moved else attempts
    is_retry = max(held.is_retry, held.next_is_retry)
    since, code, message = held.dirty_since, failure.code, failure.message
    return _Next(due, counted, held.deaths, suspicion, is_retry, None, since, code, message, held.not_before)


def bury(
    txn: Transaction, claim: Claim, failure: Failure, now: float, recheck_s: float, retry_at: float | None
) -> SettleState:
    """As `Ledger.bury`. Garbage stays known: to delete it twice does no harm, to forget it would."""
    held = _held(txn, claim)
    if held is None:
        return SettleState.LOST
    _finish(txn, claim, "bury", "failed", now, failure)
    again = _again(held, now, recheck_s)
    if again is not None:
        if not held.is_moved:
            # Where no record tells of the failure, the later look is the next attempt.
            is_known = held.outcome == Outcome.FAILED
            again = again._replace(is_settled=int(is_known), error_code=failure.code, error=failure.message)
        _let_go(txn, claim, held, again)
        return SettleState.AGAIN
    if not held.is_committed:
        _tell(txn, claim, "bury", "failed", now, failure.message)
    _let_go(txn, claim, held, _dead(held, failure.code, failure.message, retry_at))
    return SettleState.DONE


def release(txn: Transaction, claims: Sequence[Claim], now: float) -> None:
    """As `Ledger.release`."""
    for claim in claims:
        held = _held(txn, claim)
        if held is not None:
            txn.execute(sql.FORGET_RUN, (claim.run,))
            before = Failure(held.error_code, held.error)
            _let_go(txn, claim, held, _handed_back(held, now, held.attempts - 1, held.suspicion, before))


def put_off(txn: Transaction, claim: Claim, failure: Failure, now: float, due: float, not_before: float) -> SettleState:
    """As `Ledger.put_off`."""
    held = _held(txn, claim)
    if held is None:
        return SettleState.LOST
    txn.execute(sql.FORGET_RUN, (claim.run,))
    waiting = _handed_back(held, now if held.is_moved else due, held.attempts - 1, held.suspicion, failure)
    _let_go(txn, claim, held, waiting._replace(not_before=not_before))
    return SettleState.AGAIN


def note_run(txn: Transaction, claim: Claim, action: str, outcome: str, now: float, stats: RunStats) -> None:
    """As `Ledger.note_run`."""
    _finish(txn, claim, action, outcome, now, _NO_FAILURE, stats)


def _finish(
    txn: Transaction,
    claim: Claim,
    action: str,
    outcome: str,
    now: float,
    failure: Failure,
    stats: RunStats = _NOTHING,
    fresh_s: float | None = None,
) -> None:
    error = storable_text(failure.message)
    values = (action, outcome, now, failure.code, error, stats_json(stats), fresh_s, claim.run)
    txn.execute(sql.FINISH_RUN, values)


def _tell(txn: Transaction, claim: Claim, action: str, outcome: str, now: float, message: str) -> None:
    txn.execute(sql.OUTBOX_ADD, (now, action, outcome, storable_text(message), claim.run))
