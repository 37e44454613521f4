"""Between rows of the tables and the facts of the domain."""

import json
from typing import Any, TypeAlias

from s3_to_milvus.adapters.ledger.sqlite.failures import checks_rows
from s3_to_milvus.domain.limits import storable_text
from s3_to_milvus.domain.objects import Lane, ObjectRef, ObjectVersion, sort_key
from s3_to_milvus.domain.records import (
    Claim,
    Garbage,
    JournalEntry,
    ObjectState,
    ObjectStatus,
    Outcome,
    Record,
    Run,
    RunStats,
    Suspicion,
)
from s3_to_milvus.domain.rows import IdRanges
from s3_to_milvus.domain.usage import Usage

__all__ = [
    "LANES",
    "LANE_NUMBERS",
    "RECORD",
    "RECORD_WIDTH",
    "claim_of",
    "entry_of",
    "garbage_json",
    "garbage_of",
    "key_of",
    "object_number",
    "place_of",
    "record_of",
    "record_values",
    "run_of",
    "stats_json",
    "status_of",
    "text_of",
]

_Columns: TypeAlias = tuple[Any, ...]

LANES = (Lane.LIVE, Lane.BACKFILL)
LANE_NUMBERS = {Lane.LIVE: 0, Lane.BACKFILL: 1}
_SUSPICIONS = (Suspicion.NONE, Suspicion.TAKEOVER, Suspicion.RECHECK)
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_STATES = {state.value: state for state in ObjectState} | {"retrying": ObjectState.WAITING}
_compact = json.JSONEncoder(separators=(",", ":")).encode
_NO_IDS = IdRanges()
_NO_STATS = RunStats()

RECORD = (
    "o.outcome, o.etag, o.size_bytes, o.version_id, o.modified_at, o.recipe, o.content_hash, o.collection, o.run, "
    "o.ids, o.chunk_count, o.indexed_at, o.error_code, o.error, o.media_type"
)
RECORD_WIDTH = 15


@checks_rows
def key_of(data: bytes) -> str:
    """The key whose `sort_key` is ``data``."""
    return data.decode("utf-8", "surrogateescape")


def text_of(text: str) -> bytes:
    """Bytes of any text that may stem from undecodable file names; `key_of` reads them back."""
    return sort_key(text)


def object_number(object_id: bytes) -> int:
    """The first 8 bytes of an object's id as SQLite holds integers."""
    return int.from_bytes(object_id[:8], "big", signed=True)


@checks_rows
def record_of(ref: ObjectRef, columns: _Columns) -> Record | None:
    """The record from its `RECORD` columns; None where no look has finished."""
    if columns[0] is None:
        return None
    (
        outcome,
        etag,
        size,
        version_id,
        modified_at,
        recipe,
        content,
        collection,
        run,
        ids,
        chunks,
        at,
        code,
        error,
        media,
    ) = columns
    return Record(
        ref=ref,
        version=ObjectVersion(etag, size, version_id, modified_at),
        outcome=_OUTCOMES[outcome],
        recipe=recipe,
        content_hash=content,
        collection=collection,
        run=run,
        ids=_ids_of(ids),
        chunk_count=chunks,
        indexed_at=at,
        error_code=code,
        error=error,
        media_type=media,
    )


def record_values(record: Record | None) -> _Columns:
    """The `RECORD` columns of a record, in their order, then ``has_rows``, ``last_id``."""
    if record is None:
        return (None, "", 0, None, None, "", "", "", 0, "[]", 0, 0.0, "", "", "", 0, 0)
    version = record.version
    return (
        record.outcome.value,
        version.etag,
        version.size_bytes,
        version.version_id,
        version.modified_at,
        record.recipe,
        record.content_hash,
        record.collection,
        record.run,
        _ids_json(record.ids),
        record.chunk_count,
        record.indexed_at,
        record.error_code,
        storable_text(record.error),
        record.media_type,
        1 if record.ids else 0,
        record.ids.last,
    )


def _ids_json(ids: IdRanges) -> str:
    return _compact(ids.ranges) if ids.ranges else "[]"


def _ids_of(text: str) -> IdRanges:
    if text == "[]":
        return _NO_IDS
    return IdRanges(tuple((first, last) for first, last in json.loads(text)))


@checks_rows
def garbage_json(known: str | None, collection: str, ids: str, run: int) -> str:
    """What was garbage before, and the rows of a replaced record (its JSON column)."""
    pieces = json.loads(known) if known else []
    return _compact([*pieces, [collection, json.loads(ids), run]])


@checks_rows
def garbage_of(text: str | None) -> tuple[Garbage, ...]:
    """The pieces of garbage, oldest first. Those that version 0.1.0 wrote have no run."""
    if text is None:
        return ()
    return tuple(
        Garbage(collection, IdRanges(tuple((first, last) for first, last in ranges)), run[0] if run else 0)
        for collection, ranges, *run in json.loads(text)
    )


@checks_rows
def claim_of(columns: _Columns, run: int, lease_until: float) -> Claim:
    """A new claim from a row of the claim statement (as it was before the claim), in the statement's order."""
    _, bucket, key, _, lane, generation, attempts, deaths, suspicion, held = columns[:10]
    since, is_retry, not_before, is_begun, _, garbage = columns[10:16]
    ref = ObjectRef(bucket, key_of(key))
    is_taken_over = held is not None
    is_dead = is_taken_over and (not deaths or bool(is_begun))
    return Claim(
        ref=ref,
        run=run,
        generation=generation,
        attempts=attempts + (not is_taken_over),
        lane=LANES[lane],
        lease_until=lease_until,
        suspicion=Suspicion.TAKEOVER if is_taken_over else _SUSPICIONS[suspicion],
        record=record_of(ref, columns[16:]),
        garbage=garbage_of(garbage),
        dirty_since=since,
        is_retry=bool(is_retry),
        deaths=deaths + is_dead,
        not_before=None if is_dead else not_before,
    )


def place_of(outcome: str | None, has_work: bool, work: _Columns) -> str | None:
    """Which counter an object stands in; ``work``: run, due, is_settled, error_code. None: gone but for a re-check.

    The same as the ``PLACE`` expression in `statements`.
    """
    if not has_work:
        return outcome
    run, due, is_settled, error_code = work
    if run is not None:
        return "running"
    if due is None:
        return "failed"
    if is_settled:
        return outcome
    return "retrying" if error_code else "waiting"


@checks_rows
def status_of(columns: _Columns) -> ObjectStatus:
    """From a row: bucket, key, place, attempts, due, error code and error of the work row, then `RECORD`."""
    bucket, key, place, attempts, due, error_code, error = columns[:7]
    ref = ObjectRef(bucket, key_of(key))
    record = record_of(ref, columns[7:])
    if not error_code and record is not None:
        error_code, error = record.error_code, record.error
    return ObjectStatus(ref, _STATES[place], record, attempts or 0, due, error_code or "", error or "")


def stats_json(stats: RunStats) -> str | None:
    """Compact JSON; None for no stats. What was paid comes last, where anything was: older rows have none."""
    if stats == _NO_STATS:
        return None
    values = [stats.chunks, stats.embedded, stats.size_bytes, stats.stage_seconds]
    if usage := stats.usage:
        values.append([usage.tokens, usage.pages, usage.nano_usd])
    return _compact(values)


@checks_rows
def run_of(columns: _Columns) -> Run:
    """From a row: run, bucket, key, action, outcome, started_at, finished_at, attempt, error_code, error, stats."""
    run, bucket, key, action, outcome, started_at, finished_at, attempt, error_code, error, stats = columns
    return Run(
        run=run,
        ref=ObjectRef(bucket, key_of(key)),
        action=action,
        outcome=outcome,
        started_at=started_at,
        finished_at=finished_at,
        attempt=attempt,
        error_code=error_code,
        error=error,
        stats=_stats_of(stats),
    )


def _stats_of(text: str | None) -> RunStats:
    if text is None:
        return _NO_STATS
    chunks, embedded, size_bytes, stages, *paid = json.loads(text)
    usage = Usage(*paid[0]) if paid else Usage()
    return RunStats(chunks, embedded, size_bytes, tuple((name, seconds) for name, seconds in stages), usage)


@checks_rows
def entry_of(columns: _Columns) -> JournalEntry:
    """From a row: id, bucket, key, action, outcome, started_at, elapsed_s, message."""
    entry_id, bucket, key, *rest = columns
    return JournalEntry(entry_id, ObjectRef(bucket, key_of(key)), *rest)
