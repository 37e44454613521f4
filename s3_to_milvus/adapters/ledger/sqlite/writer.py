"""One thread that writes. Requests that wait together share one transaction: group commit."""

import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from s3_to_milvus.adapters.ledger.sqlite.health import FileHealth
from s3_to_milvus.errors import LedgerDamaged, Unavailable

__all__ = ["Transaction", "Writer"]

T = TypeVar("T")

_GROUP = 500
_COUNT = "INSERT INTO counters (what, name, n) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"


class Transaction:
    """What a request writes through. ``execute`` is the connection's; figures are summed up and written once."""

    __slots__ = ("connection", "counted", "execute")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.counted: dict[tuple[str, str], int] = {}

    def count(self, what: str, name: str, by: int) -> None:
        """Add to a counter."""
        self.counted[what, name] = self.counted.get((what, name), 0) + by

    def move(self, bucket: str, before: str | None, after: str | None) -> None:
        """An object of the bucket went from one place to another (None: nowhere)."""
        if before != after:
            if before is not None:
                self.count(before, bucket, -1)
            if after is not None:
                self.count(after, bucket, 1)

    def write_counters(self) -> None:
        """Write what was counted."""
        for (what, name), by in self.counted.items():
            if by:
                self.execute(_COUNT, (what, name, by))


class _Request:
    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Transaction], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Writer:
    """Runs requests on its own thread, up to 500 in one transaction; a request that fails alone fails nobody else.

    A thread of its own, because then no interrupt of a caller can leave a transaction half done.
    """

    def __init__(self, connection: sqlite3.Connection, health: FileHealth) -> None:
        self._connection = connection
        self._health = health
        self._gate = threading.Lock()
        self._is_closed = False
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="ledger-writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Transaction], T]) -> T:
        """The result of ``work``, once its transaction is durable."""
        request = _Request(work)
        with self._gate:
            if self._is_closed:
                raise Unavailable("The ledger is closed.")
            self._requests.put(request)
        request.done.acquire()
        error = request.error
        if error is None:
            result: T = request.result
            return result
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError, LedgerDamaged)):
            raise self._health.noted(error) from error
        raise error

    def close(self) -> None:
        """Finish what waits, then close the connection. May be called twice."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._requests.put(None)
        self._thread.join()

    def _loop(self) -> None:
        is_open = True
        while is_open:
            first = self._requests.get()
            group = [] if first is None else [first]
            is_open = first is not None
            while is_open and len(group) < _GROUP and not self._requests.empty():
                following = self._requests.get()
                if following is None:
                    is_open = False
                else:
                    group.append(following)
            if group:
                self._commit(group)
            for request in group:
                request.done.release()
        self._connection.close()

    def _commit(self, group: list[_Request]) -> None:
        try:
            self._health.verify()
            self._connection.execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._connection)
            if len(group) == 1:
                group[0].result = group[0].work(transaction)
            else:
                for request in group:
                    self._run_apart(request, transaction)
            transaction.write_counters()
            self._connection.execute("COMMIT")
        except BaseException as exc:  # noqa: BLE001 - handed to the callers, who must never wait for ever
            self._roll_back()
            for request in group:
                request.error = request.error or exc

    def _run_apart(self, request: _Request, transaction: Transaction) -> None:
        """Run one request of a group; if it fails, undo what it wrote and nothing else."""
        counted = transaction.counted
        transaction.counted = {}
        transaction.execute("SAVEPOINT request")
        try:
            request.result = request.work(transaction)
        except BaseException as exc:
            if not self._connection.in_transaction:
                raise  # SQLite undid the whole group
            transaction.execute("ROLLBACK TO request")
            transaction.counted = {}
            request.error = exc
        transaction.execute("RELEASE request")
        for (what, name), by in transaction.counted.items():
            counted[what, name] = counted.get((what, name), 0) + by
        transaction.counted = counted

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the error that led here is the one to report
