"""The SQL of the queue, by name. Values are always bound, never formatted in."""

from s3_to_milvus.adapters.ledger.sqlite.rows import RECORD

__all__ = [
    "BEGUN",
    "CLAIM_LANE",
    "EXPIRE_ALL",
    "FAILED",
    "FIND_COMMITTING",
    "FIND_HELD",
    "FIND_OBJECT",
    "FINISH_RUN",
    "FORGET_OBJECT",
    "FORGET_RUN",
    "FORGET_RUNS_OF_GONE",
    "HEARTBEAT",
    "HOLD",
    "KEEP_NEWEST_RUNS",
    "LAST_RUN",
    "MARK_COMMITTED",
    "MARK_RUNS_GONE",
    "NEW_OBJECT",
    "NEW_RUN",
    "NEW_SUSPECT",
    "NEW_WORK",
    "OBSERVE_FREE",
    "OBSERVE_HELD",
    "OUTBOX_ADD",
    "PLACE",
    "RAISE_LAST_ID",
    "RAISE_RUNS",
    "RESOLVED",
    "SETTLE_OBJECT",
    "SUSPECT",
    "SUSPECT_SETTLED",
    "WORK_DONE",
    "WRITE_RECORD",
]

# Where an object stands, over `objects o LEFT JOIN work w`; the same as `rows.place_of`.
PLACE = """CASE WHEN w.run IS NOT NULL THEN 'running'
  WHEN w.oid IS NOT NULL AND w.due IS NULL THEN 'failed'
  WHEN w.is_settled = 0 THEN iif(w.error_code = '', 'waiting', 'retrying')
  ELSE o.outcome END"""

FIND_OBJECT = """SELECT o.oid, o.generation, o.outcome, w.oid IS NOT NULL, w.run, w.due, w.is_settled, w.error_code
FROM objects o LEFT JOIN work w ON w.oid = o.oid WHERE o.bucket = ? AND o.key = ?"""

FAILED = f"""SELECT o.bucket, o.key FROM work w CROSS JOIN objects o ON o.oid = w.oid
WHERE w.run IS NULL AND {PLACE} = 'failed' ORDER BY w.oid"""  # noqa: S608 - constants only

NEW_OBJECT = "INSERT INTO objects (bucket, key, object_id) VALUES (?, ?, ?)"

NEW_WORK = "INSERT INTO work (oid, lane, due, generation, dirty_since, is_retry) VALUES (?, ?, ?, ?, ?, ?)"

OBSERVE_HELD = """UPDATE work SET generation = generation + 1, lane = min(lane, :lane), is_settled = 0,
  next_since = coalesce(next_since, :now), next_is_retry = max(next_is_retry, :is_retry) WHERE oid = :oid"""

# A re-check that comes early can't be the later look that a takeover asked for: it stays a takeover.
# What is observed never ends the wait of an object with deaths: only a person does that.
OBSERVE_FREE = """UPDATE work SET generation = generation + 1, attempts = 0, error_code = '', error = '',
  not_before = iif(:is_retry, :now, not_before),
  lane = iif(is_settled, :lane, min(lane, :lane)), dirty_since = iif(is_settled, :now, dirty_since),
  is_retry = iif(is_settled, :is_retry, max(is_retry, :is_retry)), is_settled = 0,
  suspicion = iif(suspicion = 2 AND due > :now, 1, suspicion), due = min(coalesce(due, :now), :now) WHERE oid = :oid"""

# Its order is that of `rows.claim_of`.
CLAIM_LANE = f"""SELECT o.oid, o.bucket, o.key, o.object_id, w.lane, w.generation, w.attempts, w.deaths, w.suspicion,
  w.run, w.dirty_since, max(w.is_retry, w.next_is_retry), w.not_before, w.is_begun, {PLACE}, o.garbage, {RECORD}
FROM work w INDEXED BY work_due CROSS JOIN objects o ON o.oid = w.oid
WHERE w.lane = ? AND w.due <= ? ORDER BY w.due, w.oid LIMIT ?"""  # noqa: S608 - constants only

LAST_RUN = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0)"

# Only what waits for nothing becomes due by it; a claim that is in work keeps its lease, and ends as if it had taken
# over.
NEW_SUSPECT = """INSERT INTO work (oid, lane, due, generation, dirty_since, suspicion)
VALUES (:oid, :lane, :now, :generation, :now, 2)"""

SUSPECT = """UPDATE work SET suspicion = CASE WHEN suspicion = 1 OR run IS NOT NULL OR (suspicion = 2 AND due > :now)
  THEN 1 ELSE 2 END WHERE oid = :oid"""

SUSPECT_SETTLED = """UPDATE work SET suspicion = iif(suspicion = 1 OR (suspicion = 2 AND due > :now), 1, 2),
  lane = :lane, dirty_since = :now, due = :now, attempts = 0, error_code = '', error = '',
  generation = generation + 1, is_settled = 0 WHERE oid = :oid"""

RAISE_RUNS = "UPDATE sqlite_sequence SET seq = :least WHERE name = 'runs' AND seq < :least"

BEGUN = """UPDATE work SET is_begun = 1 WHERE oid = (SELECT oid FROM objects WHERE bucket = ? AND key = ?)
  AND run = ? RETURNING 1"""

# An attempt that nobody resolved is no attempt of the object: it counts as a death only; after the first one only where
# the object was being read. The same as in `rows.claim_of`.
HOLD = """UPDATE work SET suspicion = iif(run IS NULL, suspicion, 1),
  deaths = deaths + (run IS NOT NULL AND (deaths = 0 OR is_begun)),
  not_before = iif(run IS NOT NULL AND (deaths = 0 OR is_begun), NULL, not_before),
  attempts = attempts + (run IS NULL), is_begun = 0,
  owner = :owner, run = :run, run_generation = generation, due = :due, is_committed = 0,
  is_retry = max(is_retry, next_is_retry), next_is_retry = 0, next_since = NULL WHERE oid = :oid"""

NEW_RUN = "INSERT INTO runs (run, object, bucket, key, attempt, started_at) VALUES (?, ?, ?, ?, ?, ?)"

KEEP_NEWEST_RUNS = """DELETE FROM runs WHERE object = ?1 AND run <=
  (SELECT run FROM runs WHERE object = ?1 ORDER BY run DESC LIMIT 1 OFFSET 50)"""

HEARTBEAT = """UPDATE work SET due = ? WHERE oid = (SELECT oid FROM objects WHERE bucket = ? AND key = ?)
  AND run = ? RETURNING 1"""

# Objects whose claim still holds them; the orders are those of `resolution`.
FIND_HELD = """SELECT o.oid, o.object_id, o.outcome, o.generation, o.garbage IS NOT NULL, o.error_code, o.error,
  w.generation, w.run_generation, w.suspicion, w.is_committed, w.dirty_since, w.next_since, w.is_retry,
  w.next_is_retry, w.attempts, w.deaths, w.error_code, w.error, w.not_before
FROM objects o CROSS JOIN work w ON w.oid = o.oid WHERE o.bucket = ? AND o.key = ? AND w.run = ?"""

FIND_COMMITTING = """SELECT o.oid, o.has_rows, o.collection, o.run, o.ids, o.chunk_count, o.garbage, w.is_committed,
  w.run_generation, w.dirty_since
FROM objects o CROSS JOIN work w ON w.oid = o.oid WHERE o.bucket = ? AND o.key = ? AND w.run = ?"""

WRITE_RECORD = """UPDATE objects SET outcome = ?, etag = ?, size_bytes = ?, version_id = ?, modified_at = ?, recipe = ?,
  content_hash = ?, collection = ?, run = ?, ids = ?, chunk_count = ?, indexed_at = ?, error_code = ?, error = ?,
  media_type = ?, has_rows = ?, last_id = ?, garbage = ?, generation = ? WHERE oid = ?"""

RAISE_LAST_ID = "UPDATE collections SET last_id = :last_id WHERE name = :name AND last_id < :last_id"

MARK_COMMITTED = "UPDATE work SET is_committed = 1 WHERE oid = ?"

# The first end of a run is the one that the timeline shows.
FINISH_RUN = """UPDATE runs SET action = ?, outcome = ?, finished_at = ?, error_code = ?, error = ?,
  stats = ?, fresh_s = ? WHERE run = ? AND finished_at IS NULL"""

OUTBOX_ADD = """INSERT INTO outbox (due, bucket, key, action, outcome, started_at, elapsed_s, message)
SELECT ?1, bucket, key, ?2, ?3, started_at, ?1 - started_at, ?4 FROM runs WHERE run = ?5"""

# Nobody holds the object any more. Every column that a claim touches is written.
RESOLVED = """UPDATE work SET owner = NULL, run = NULL, due = :due, attempts = :attempts, deaths = :deaths,
  suspicion = :suspicion, is_retry = :is_retry, is_settled = coalesce(:is_settled, is_settled),
  dirty_since = :dirty_since, next_since = NULL, next_is_retry = 0, error_code = :error_code, error = :error,
  not_before = :not_before
WHERE oid = :oid RETURNING is_settled"""

WORK_DONE = "DELETE FROM work WHERE oid = ?"

SETTLE_OBJECT = "UPDATE objects SET garbage = NULL, generation = ? WHERE oid = ?"

FORGET_OBJECT = "DELETE FROM objects WHERE oid = ?"

FORGET_RUN = "DELETE FROM runs WHERE run = ? AND finished_at IS NULL"

MARK_RUNS_GONE = "UPDATE runs SET is_gone = 1 WHERE object = ?"

FORGET_RUNS_OF_GONE = "DELETE FROM runs WHERE is_gone = 1 AND run <= ?"

EXPIRE_ALL = "UPDATE work SET due = ? WHERE run IS NOT NULL"
