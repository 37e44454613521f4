"""What the ledger costs: events, group commit, rounds of work, rates, scans; most beside a bare loop over sqlite3.

``python -m bench.ledger [FOLDER]``. Ours and the bare loop write to the same disk in the same run, durably.
"""

import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.domain.objects import Lane, ObjectRef, ObjectVersion
from s3_to_milvus.domain.records import Claim, Commit, Outcome, Record, RunStats, SettleState
from s3_to_milvus.domain.rows import IdRanges

__all__ = ["main"]

_BARE = "CREATE TABLE bare (id INTEGER PRIMARY KEY, bucket TEXT, key BLOB, due REAL, value TEXT, UNIQUE (bucket, key))"


@contextmanager
def _bare(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _BARE):
            connection.execute(statement)
        yield connection
    for file in folder.glob("bare.db*"):
        file.unlink()


def _ref(name: str, number: int) -> ObjectRef:
    return ObjectRef("documents", f"{name}/2026/보고서-{number:07d}.pdf")


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _row(what: str, ours: tuple[float, float], bare: tuple[float, float] | None, count: int, note: str = "") -> None:
    per_s, per_cpu = count / ours[0], count / ours[1]
    ratio = "" if bare is None else f"{bare[0] / ours[0]:.2f} / {bare[1] / ours[1]:.2f}"
    print(f"| {what} | {per_s:,.0f} | {per_cpu:,.0f} | {ratio} | {note} |", flush=True)


def _one_by_one(ledger: SqliteLedger, folder: Path, count: int = 2_000) -> None:
    def ours() -> None:
        for number in range(count):
            ledger.observe([_ref("one", number)], Lane.LIVE, 1.0)

    with _bare(folder) as bare:

        def plain() -> None:
            for number in range(count):
                bare.execute("BEGIN IMMEDIATE")
                _insert(bare, number)
                bare.execute("COMMIT")

        _row("events, one by one", _timed(ours), _timed(plain), count)


def _insert(bare: sqlite3.Connection, number: int) -> None:
    values = ("documents", _ref("bare", number).key.encode(), 1.0)
    bare.execute("INSERT INTO bare (bucket, key, due) VALUES (?, ?, ?)", values)


def _crowd(ledger: SqliteLedger, clients: int = 100, each: int = 100) -> None:
    waits: list[float] = []

    def client(name: int) -> None:
        for number in range(each):
            began = time.perf_counter()
            ledger.observe([_ref(f"crowd-{name}", number)], Lane.LIVE, 1.0)
            waits.append(time.perf_counter() - began)

    def ours() -> None:
        threads = [threading.Thread(target=client, args=(name,)) for name in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    cost = _timed(ours)
    _row(f"events, {clients} clients at once", cost, None, clients * each, _percentiles(waits))


def _steady(ledger: SqliteLedger, per_s: int = 200, seconds: float = 5.0) -> None:
    waits: list[float] = []

    def ours() -> None:
        began = time.perf_counter()
        for number in range(int(per_s * seconds)):
            time.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            asked = time.perf_counter()
            ledger.observe([_ref("steady", number)], Lane.LIVE, 1.0)
            waits.append(time.perf_counter() - asked)

    cost = _timed(ours)
    _row(f"events at {per_s}/s", cost, None, len(waits), _percentiles(waits))


def _percentiles(waits: list[float]) -> str:
    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    return f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms"


def _record(claim: Claim) -> Record:
    ids = IdRanges.of(range(claim.run * 100, claim.run * 100 + 5))
    version = ObjectVersion("d41d8cd98f00b204e9800998ecf8427e", 4096, None, 1.0)
    return Record(
        claim.ref, version, Outcome.INDEXED, "0123456789abcdef", "f" * 64, "documents", claim.run, ids, 5, 2.0
    )


def _work_off(ledger: SqliteLedger, batch: int = 64) -> int:
    done = 0
    stats = RunStats(5, 5, 4096, (("download", 0.001), ("parse", 0.001), ("embed", 0.002)))
    while claims := ledger.claim("bench", batch, 2.0, 60.0):
        ledger.commit([Commit(claim, _record(claim), "add", stats) for claim in claims], 3.0)
        done += ledger.settle(claims, 3.0, 60.0).count(SettleState.DONE)
    return done


def _rounds(ledger: SqliteLedger, folder: Path, batch: int = 64) -> None:
    waiting = ledger.counts().waiting
    cost = _timed(lambda: _work_off(ledger))
    with _bare(folder) as bare:

        def plain() -> None:
            for start in range(0, waiting, batch):
                for step in (_insert, _update, _delete):
                    bare.execute("BEGIN IMMEDIATE")
                    for number in range(start, min(start + batch, waiting)):
                        step(bare, number)
                    bare.execute("COMMIT")

        note = f"{cost[1] / waiting * 1e6:.0f} us of CPU each; bare: one insert, update, delete each"
        _row("claim + commit + settle, batches of 64", cost, _timed(plain), waiting, note)


def _reserve(ledger: SqliteLedger, count: int = 1_000, threads: int = 8) -> None:
    """What a paid request costs here where a rate is set: one call for each rate."""
    waits: list[float] = []

    def ask(_: int) -> None:
        asked = time.perf_counter()
        ledger.reserve("service requests", 1.0, 1e-9, 60.0, 1.0, 5.0)
        waits.append(time.perf_counter() - asked)

    cost = _timed(lambda: list(map(ask, range(count))))
    _row("reserve a rate, one by one", cost, None, count, _percentiles(waits))
    waits.clear()
    with ThreadPoolExecutor(threads) as pool:
        cost = _timed(lambda: list(pool.map(ask, range(count))))
    _row(f"reserve a rate, {threads} threads at once", cost, None, count, _percentiles(waits))


def _rounds_beside(ledger: SqliteLedger, per_s: int = 100, count: int = 10_000) -> None:
    """The same work alone, and while rates are reserved ``per_s`` times a second: more than paid services allow."""
    for is_beside in (False, True):
        ledger.observe([_ref(f"beside-{is_beside}", number) for number in range(count)], Lane.LIVE, 1.0)
        has_ended = threading.Event()

        def ask(has_ended: threading.Event = has_ended) -> None:
            while not has_ended.wait(1 / per_s):
                ledger.reserve("service tokens", 1.0, 1e-9, 60.0, 1.0, 5.0)

        thread = threading.Thread(target=ask)
        if is_beside:
            thread.start()
        cost = _timed(lambda: _work_off(ledger))
        has_ended.set()
        if is_beside:
            thread.join()
        what = f"the same, beside {per_s} reservations a second" if is_beside else "claim + commit + settle, once more"
        _row(what, cost, None, count)


def _update(bare: sqlite3.Connection, number: int) -> None:
    values = ("x" * 200, "documents", _ref("bare", number).key.encode())
    bare.execute("UPDATE bare SET value = ? WHERE bucket = ? AND key = ?", values)


def _delete(bare: sqlite3.Connection, number: int) -> None:
    values = ("documents", _ref("bare", number).key.encode())
    bare.execute("DELETE FROM bare WHERE bucket = ? AND key = ?", values)


def _fill(ledger: SqliteLedger, count: int) -> None:
    known = ledger.counts().indexed
    refs = [_ref("bulk", number) for number in range(count - known)]

    def mark() -> None:
        for start in range(0, len(refs), 1000):
            ledger.observe(refs[start : start + 1000], Lane.BACKFILL, 1.0)

    _row("marked by a scan, 1,000 a call", _timed(mark), None, len(refs))
    _work_off(ledger)


def _scan(ledger: SqliteLedger, folder: Path, count: int = 100_000) -> None:
    _fill(ledger, count)
    cost = _timed(lambda: sum(1 for _ in ledger.lines("documents")))
    with closing(sqlite3.connect(folder / "ledger.db")) as plain:
        statement = "SELECT key, etag, size_bytes, recipe, has_rows FROM objects WHERE bucket = ? ORDER BY key"
        bare = _timed(lambda: sum(1 for _ in plain.execute(statement, ("documents",))))
    _row(f"lines of {count:,} objects", cost, bare, count, f"{cost[0]:.2f} s")
    _row("counts over them", _timed(lambda: [ledger.counts() for _ in range(100)]), None, 100)
    ids = [_ref("bulk", number).object_id for number in range(50)]
    _row("standing of 50 hits", _timed(lambda: [ledger.standing(ids) for _ in range(100)]), None, 100)
    ledger.observe([_ref("bulk", number) for number in range(count // 2)], Lane.BACKFILL, 5.0)
    event = _timed(lambda: _live_event(ledger))
    _row("a live event past a backlog: observe + claim", event, None, 1, f"{event[0] * 1e3:.1f} ms")


def _live_event(ledger: SqliteLedger) -> None:
    ledger.observe([_ref("live", 0)], Lane.LIVE, 6.0)
    (claim,) = ledger.claim("bench", 1, 6.0, 60.0)
    assert claim.lane is Lane.LIVE


def main(parent: str | None = None) -> None:
    """Print the table."""
    print("| what | per second | per CPU-second | speed / CPU beside a bare loop | |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        ledger = SqliteLedger(SqliteLedger.Options(), folder / "ledger.db")
        try:
            _one_by_one(ledger, folder)
            _steady(ledger)
            _crowd(ledger)
            _rounds(ledger, folder)
            _rounds_beside(ledger)
            _reserve(ledger)
            _scan(ledger, folder)
        finally:
            ledger.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
