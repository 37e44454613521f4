"""Everything that only reads. Long readings go page by page, so that none of them holds back the write-ahead log."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from s3_to_milvus.adapters.ledger.sqlite.connections import ReadPool
from s3_to_milvus.adapters.ledger.sqlite.failures import checks_rows
from s3_to_milvus.adapters.ledger.sqlite.rows import (
    RECORD,
    key_of,
    object_number,
    record_of,
    run_of,
    status_of,
)
from s3_to_milvus.adapters.ledger.sqlite.statements import PLACE
from s3_to_milvus.domain.objects import ObjectRef, sort_key
from s3_to_milvus.domain.records import Counts, IndexedLine, ObjectState, ObjectStatus, Record, Run
from s3_to_milvus.ports import Standing

__all__ = ["Reading"]

T = TypeVar("T")

_PAGE = 2_000
_STATUS = f"o.bucket, o.key, {PLACE}, w.attempts, w.due, w.error_code, w.error, {RECORD}"
_OF_ALL = "FROM objects o LEFT JOIN work w ON w.oid = o.oid"
# Objects that wait, run or failed have a work row: few, beside all objects.
_OF_WORK = "FROM work w CROSS JOIN objects o ON o.oid = w.oid"
_PLACES = {
    ObjectState.INDEXED: ("indexed",),
    ObjectState.EMPTY: ("empty",),
    ObjectState.FAILED: ("failed",),
    ObjectState.WAITING: ("waiting", "retrying"),
    ObjectState.RUNNING: ("running",),
}
_RUN = "run, bucket, key, action, outcome, started_at, finished_at, attempt, error_code, error, stats"

_NEXT_DUE = """SELECT min(due) FROM (SELECT min(due) AS due FROM work WHERE lane = 0 AND due IS NOT NULL
  UNION ALL SELECT min(due) FROM work WHERE lane = 1 AND due IS NOT NULL)"""
_ONE_STATUS = f"SELECT {_STATUS} {_OF_ALL} WHERE o.bucket = ? AND o.key = ?"
_FIND = "SELECT bucket, key FROM objects WHERE object_id = ?"
_STANDING = "SELECT bucket, key, collection, run FROM objects WHERE object_id = ? AND has_rows = 1"
_NEWEST = f"""SELECT o.bucket, o.key, {RECORD} FROM objects o INDEXED BY objects_newest
WHERE o.collection = ? AND o.has_rows = 1 ORDER BY o.last_id DESC LIMIT 1"""  # noqa: S608 - constants only
_MARK = "SELECT mark FROM identity"
_COUNTERS = """SELECT what, sum(n) FROM counters
WHERE what IN ('indexed', 'waiting', 'running', 'failed', 'empty', 'retrying') AND (?1 IS NULL OR name = ?1)
GROUP BY what"""
_RUNS = f"SELECT {_RUN} FROM runs ORDER BY run DESC LIMIT ?"  # noqa: S608 - constants only
_RUNS_OF = f"""SELECT {_RUN} FROM runs WHERE object = ? AND bucket = ? AND key = ?
ORDER BY run DESC LIMIT ?"""  # noqa: S608 - constants only
_FRESHNESS = "SELECT fresh_s FROM runs WHERE fresh_s IS NOT NULL ORDER BY run DESC LIMIT ?"


class Reading:
    """The reading half of `ports.Ledger`, over connections that can't write."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    def _all(self, statement: str, values: Collection[object] = ()) -> list[tuple[Any, ...]]:
        with self._pool.borrow() as connection:
            return connection.execute(statement, tuple(values)).fetchall()

    def mark(self) -> str:
        """As `Ledger.mark`."""
        return str(self._all(_MARK)[0][0])

    def newest(self, collection: str) -> Record | None:
        """As `Ledger.newest`."""
        found = self._facts(_record_in, _NEWEST, (collection,))
        return found[0] if found else None

    def _facts(self, make: Callable[[tuple[Any, ...]], T], statement: str, values: Collection[object]) -> list[T]:
        """What ``make`` makes of each row. A row that can't be read is noted as damage."""
        made = checks_rows(make)
        with self._pool.borrow() as connection:
            return [made(row) for row in connection.execute(statement, tuple(values)).fetchall()]

    def next_due(self) -> float | None:
        """As `Ledger.next_due`."""
        due: float | None = self._all(_NEXT_DUE)[0][0]
        return due

    def status(self, ref: ObjectRef) -> ObjectStatus | None:
        """As `Ledger.status`."""
        found = self._facts(
            lambda row: None if row[2] is None else status_of(row), _ONE_STATUS, (ref.bucket, sort_key(ref.key))
        )
        return found[0] if found else None

    def find(self, object_id: str) -> ObjectRef | None:
        """As `Ledger.find`."""
        digest = _digest_of(object_id)
        found = self._facts(_ref_of, _FIND, (digest,)) if digest else []
        return found[0] if found else None

    def objects(
        self, bucket: str | None, prefix: str, state: ObjectState | None, after: ObjectRef | None, limit: int
    ) -> list[ObjectStatus]:
        """As `Ledger.objects`."""
        terms, values = _below(bucket, prefix)
        if state is None:
            terms.append(f"{PLACE} IS NOT NULL")
        else:
            places = _PLACES[state]
            terms.append(f"{PLACE} IN ({', '.join('?' * len(places))})")
            values += places
        if after is not None:
            terms.append("(o.bucket, o.key) > (?, ?)")
            values += [after.bucket, sort_key(after.key)]
        source = _OF_ALL if state in (None, ObjectState.INDEXED, ObjectState.EMPTY) else _OF_WORK
        statement = f"SELECT {_STATUS} {source} {_where(terms)} ORDER BY o.bucket, o.key LIMIT ?"
        return self._facts(status_of, statement, [*values, limit])

    def lines(self, bucket: str, prefix: str) -> Iterator[IndexedLine]:
        """As `Ledger.lines`."""
        terms, values = _below(bucket, prefix)
        where = _where([*terms, "o.key >= ?", "o.outcome IS NOT NULL"])
        statement = f"""SELECT o.key, o.etag, o.size_bytes, o.recipe, o.has_rows, w.is_settled = 0 {_OF_ALL} {where}
            ORDER BY o.key LIMIT {_PAGE}"""
        start = b""
        while True:
            page = self._facts(_line_of, statement, [*values, start])
            yield from page
            if len(page) < _PAGE:
                return
            start = sort_key(page[-1].key) + b"\0"

    def records(self, bucket: str | None, prefix: str, collection: str | None) -> Iterator[Record]:
        """As `Ledger.records`."""
        terms, values = _below(bucket, prefix)
        if collection is not None:
            terms.append("o.collection = ? AND o.has_rows = 1")
            values.append(collection)
        where = _where([*terms, "(o.bucket, o.key) > (?, ?)", "o.outcome IS NOT NULL"])
        statement = f"""SELECT o.bucket, o.key, {RECORD} FROM objects o {where}
            ORDER BY o.bucket, o.key LIMIT {_PAGE // 4}"""  # noqa: S608 - constants only
        start: tuple[str, bytes | str] = ("", "")  # any text stands before every key, which is a blob
        while page := self._facts(_record_in, statement, [*values, *start]):
            yield from page
            start = (page[-1].ref.bucket, sort_key(page[-1].ref.key))

    def standing(self, object_ids: Collection[str]) -> dict[str, Standing]:
        """As `Ledger.standing`."""
        found = {}
        with self._pool.borrow() as connection:
            connection.execute("BEGIN")
            for object_id in object_ids:
                row = connection.execute(_STANDING, (_digest_of(object_id),)).fetchone()
                if row is not None:
                    found[object_id] = Standing(ObjectRef(row[0], key_of(row[1])), row[2], row[3])
            connection.execute("COMMIT")
        return found

    def counts(self, bucket: str | None, prefix: str) -> Counts:
        """As `Ledger.counts`: from the counters, but counted one by one below a prefix."""
        if prefix:
            terms, values = _below(bucket, prefix)
            statement = f"SELECT {PLACE}, count(*) {_OF_ALL} {_where(terms)} GROUP BY 1"
            found = dict(self._all(statement, values))
        else:
            found = dict(self._all(_COUNTERS, (bucket,)))
        return Counts(
            indexed=found.get("indexed", 0),
            waiting=found.get("waiting", 0) + found.get("retrying", 0),
            running=found.get("running", 0),
            failed=found.get("failed", 0),
            empty=found.get("empty", 0),
            retrying=found.get("retrying", 0),
        )

    def runs(self, ref: ObjectRef | None, limit: int) -> list[Run]:
        """As `Ledger.runs`."""
        if ref is None:
            return self._facts(run_of, _RUNS, (limit,))
        number = object_number(bytes.fromhex(ref.object_id))
        return self._facts(run_of, _RUNS_OF, (number, ref.bucket, sort_key(ref.key), limit))

    def freshness(self, limit: int) -> list[float]:
        """As `Ledger.freshness`."""
        return [row[0] for row in self._all(_FRESHNESS, (limit,))]


def _ref_of(row: tuple[Any, ...]) -> ObjectRef:
    """From a row that begins with bucket and key."""
    return ObjectRef(row[0], key_of(row[1]))


def _line_of(row: tuple[Any, ...]) -> IndexedLine:
    key, etag, size_bytes, recipe, has_rows, is_queued = row
    return IndexedLine(key_of(key), etag, size_bytes, recipe, has_rows == 1, is_queued == 1)


def _record_in(row: tuple[Any, ...]) -> Record:
    """From bucket, key and the columns of a record, which is there."""
    record = record_of(_ref_of(row), row[2:])
    if record is None:
        raise ValueError("a record without an outcome")
    return record


def _digest_of(object_id: str) -> bytes | None:
    """The id's bytes; None for what is no id."""
    try:
        return bytes.fromhex(object_id)
    except ValueError:
        return None


def _below(bucket: str | None, prefix: str) -> tuple[list[str], list[object]]:
    """Conditions for the objects of a bucket below a prefix, and their values."""
    terms: list[str] = []
    values: list[object] = []
    if bucket is not None:
        terms.append("o.bucket = ?")
        values.append(bucket)
    if low := sort_key(prefix):
        terms.append("o.key >= ?")
        values.append(low)
        head = low.rstrip(b"\xff")
        if head:
            terms.append("o.key < ?")
            values.append(head[:-1] + bytes([head[-1] + 1]))
    return terms, values


def _where(terms: list[str]) -> str:
    return f"WHERE {' AND '.join(terms)}" if terms else ""
