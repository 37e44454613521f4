"""Connections to the file: how they are opened, and a small pool for reading."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s3_to_milvus.adapters.ledger.sqlite.health import FileHealth
from s3_to_milvus.errors import ConfigError, LedgerDamaged, Unavailable

__all__ = ["ReadPool", "open_reader", "open_writer"]

# Memory map off and small page caches: the whole service has a memory budget, and mapped pages count in it.
_WRITER = "cache_size = -16384", "wal_autocheckpoint = 4000", "journal_size_limit = 67108864"
_READER = "cache_size = -4096", "query_only = 1"
_BOTH = "synchronous = FULL", "fullfsync = 1", "mmap_size = 0", "temp_store = MEMORY", "foreign_keys = 0"
_IDLE_READERS = 4


def open_writer(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """The connection that writes: WAL, durable at commit. Raises `ConfigError` where the file can't be used."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"The folder of the ledger can't be made: {exc}.", hint="Choose another with S2M_DATA_DIR."
        ) from exc
    connection = _connect(path, busy_timeout_s, _WRITER)
    try:
        _set_wal(connection, busy_timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection that can't write."""
    return _connect(path, busy_timeout_s, _READER)


def _connect(path: Path, busy_timeout_s: float, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        for pragma in (*_BOTH, *pragmas):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _set_wal(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    """Switch to WAL. SQLite does not wait for this lock by itself when two processes open a new file at once."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise ConfigError(
            f"The file system of the ledger can't hold a write-ahead log (journal mode {mode}).",
            hint="Choose a folder on a local disk with S2M_DATA_DIR.",
        )


class ReadPool:
    """Connections for reading: one per reading thread at a time, a few kept for the next.

    Where the file is deleted or replaced, no connection is opened any more (it would read another file): what the
    ledger knew last is read through one that was opened in time, one thread after the other.
    """

    def __init__(self, path: Path, busy_timeout_s: float, health: FileHealth) -> None:
        self._health = health
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False
        self._spare = open_reader(path, busy_timeout_s)
        self._spare.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # only now are all files open
        self._spare_turn = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """A connection for one short read. SQLite's errors leave as ours; see `FileHealth`."""
        connection = None
        try:
            connection = self._take()
            yield connection
        except (sqlite3.Error, UnicodeDecodeError, LedgerDamaged) as exc:
            raise self._health.noted(exc) from exc
        finally:
            if connection is not None:
                self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._is_closed:
                raise Unavailable("The ledger is closed.")
            if self._idle:
                return self._idle.pop()
        if not self._health.is_lost():
            connection = open_reader(self._path, self._busy_timeout_s)
            if not self._health.is_lost():
                return connection
            connection.close()
        self._spare_turn.acquire()
        return self._spare

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.rollback()
        if connection is self._spare:
            self._spare_turn.release()
            return
        with self._lock:
            if not self._is_closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle; what is borrowed closes when it comes back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        with self._spare_turn:
            self._spare.close()
