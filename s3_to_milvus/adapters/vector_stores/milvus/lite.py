"""Milvus Lite as a good citizen: one lock, one process, flush when it pays, compaction when it is idle."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from s3_to_milvus.adapters.vector_stores.milvus import compaction
from s3_to_milvus.adapters.vector_stores.milvus.embedded import Embedded
from s3_to_milvus.adapters.vector_stores.milvus.flushing import flush
from s3_to_milvus.adapters.vector_stores.milvus.listing import identities
from s3_to_milvus.adapters.vector_stores.milvus.repair import remove_indexes, repair
from s3_to_milvus.adapters.vector_stores.milvus.snapshot import LiteSnapshot
from s3_to_milvus.adapters.vector_stores.milvus.vendor import trim_memory
from s3_to_milvus.domain.rows import RowIdentity
from s3_to_milvus.errors import DataInUse

__all__ = ["LiteDatabase", "acquire", "release"]

log = structlog.get_logger(__name__)

_QUIET_S = 2.0
_FLUSH_ROWS = 4_000
_FLUSH_ROWS_QUIET = 500
_FLUSH_ROWS_SEARCHED = 500
_FLUSH_DELETES = 2_000
_RETRY_COMPACTION_S = 60.0
_guard = threading.Lock()
_open: dict[Path, "LiteDatabase"] = {}


@dataclass(slots=True)
class _Pending:
    """What a collection holds in memory and in its log only."""

    rows: int = 0
    deletes: int = 0
    written_at: float = 0.0
    is_searched: bool = False
    is_in_doubt: bool = False  # a write failed half-way: what follows it in the log could not be replayed

    def is_due(self, now: float) -> bool:
        if self.is_in_doubt or self.rows >= _FLUSH_ROWS or self.deletes >= _FLUSH_DELETES:
            return True
        if self.is_searched and self.rows >= _FLUSH_ROWS_SEARCHED:
            return True
        return self.rows >= _FLUSH_ROWS_QUIET and now - self.written_at >= _QUIET_S


def acquire(path: Path) -> "LiteDatabase":
    """The database at this path, opened if this process has not opened it yet. Raises `DataInUse`."""
    key = path.expanduser().resolve()
    with _guard:
        database = _open.get(key)
        if database is None:
            database = _open[key] = LiteDatabase(key)
        database.users += 1
        return database


def release(database: "LiteDatabase") -> None:
    """Give a database back; the last user closes it."""
    with _guard:
        database.users -= 1
        if database.users == 0:
            _open.pop(database.path, None)
            database.close()


class LiteDatabase:
    """An open database of Milvus Lite. ``gate`` is the one lock around every read, write and flush.

    Without it, Lite 3.2 loses acknowledged rows when a flush meets a write, and readers miss rows (measured).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self._lock = threading.RLock()
        self._housekeeping = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._engines: dict[str, Any] = {}
        self._compact_after = 0.0
        path.mkdir(parents=True, exist_ok=True)
        with _exclusive(path):
            for line in repair(path):
                log.warning("milvus_lite.repaired", path=str(path), what=line)
        try:
            self._embedded = Embedded(path)
        except Exception as exc:
            if type(exc).__name__ == "DataDirLockedError":
                raise _in_use(path) from exc
            raise
        self.uri = self._embedded.uri

    @contextmanager
    def gate(self) -> Iterator[None]:
        """Everybody else waits."""
        with self._lock:
            yield

    def opened(self, collection: str) -> None:
        """To be called with the gate held, once a collection is loaded."""
        engine = self._embedded.db.get_collection(collection)
        self._engines[collection] = engine
        _keep_ids_unique(engine)
        state = self._pending.setdefault(collection, _Pending())
        state.rows = max(state.rows, engine.count())

    def mend_indexes(self, collection: str) -> None:
        """Drop the index files of a collection that could not be loaded; loading builds them anew."""
        count = remove_indexes(self.path, collection)
        log.warning("milvus_lite.indexes_rebuilt", collection=collection, files=count)

    def before_write(self, collection: str) -> None:
        """To be called with the gate held: a log that may be torn is replaced before anything is added to it."""
        state = self._pending.get(collection)
        if state is not None and state.is_in_doubt:
            self._flush(collection)

    def wrote(self, collection: str, *, rows: int = 0, deletes: int = 0) -> None:
        """Count what a flush would write."""
        state = self._pending.setdefault(collection, _Pending())
        state.rows += rows
        state.deletes += deletes
        state.written_at = time.monotonic()

    def searched(self, collection: str) -> None:
        """Rows that are not flushed make a search slow: the next housekeeping flushes them."""
        if state := self._pending.get(collection):
            state.is_searched = True

    def failed(self, collection: str) -> None:
        """A write failed: see `_Pending.is_in_doubt`, and `_keep_ids_unique`."""
        self._pending.setdefault(collection, _Pending()).is_in_doubt = True
        if engine := self._engines.get(collection):
            _keep_ids_unique(engine)

    def identities(self, collection: str) -> list[RowIdentity]:
        """Every row, to be called with the gate held. The engine's own query makes every vector a list of numbers."""
        return identities(self._engines[collection])

    @contextmanager
    def dropping(self, collection: str) -> Iterator[None]:
        """No housekeeping while a collection goes."""
        with self._housekeeping, self._lock:
            self._engines.pop(collection, None)
            self._pending.pop(collection, None)
            yield

    def tend(self, *, is_idle: bool) -> bool:
        """Flush or compact one collection that needs it."""
        if not self._housekeeping.acquire(blocking=False):
            return False
        try:
            is_done = self._flush_one() or self._compact_one(is_idle)
            if is_done:
                trim_memory()
            return is_done
        finally:
            self._housekeeping.release()

    def freeze(self, meanwhile: Callable[[], None]) -> LiteSnapshot:
        """See `VectorStore.freeze`. Merges that run are waited for before anybody else has to wait."""
        with self._housekeeping:
            for engine in list(self._engines.values()):
                engine._wait_for_bg()
            with self._lock, ExitStack() as still:
                started = time.monotonic()
                for collection, state in list(self._pending.items()):
                    if state.is_in_doubt and collection in self._engines:
                        self._flush(collection)
                for engine in self._embedded.db._collections.values():
                    still.enter_context(engine._maintenance_lock)
                snapshot = LiteSnapshot(self.path)
                try:
                    meanwhile()
                except BaseException:
                    snapshot.close()
                    raise
                snapshot.paused_s = time.monotonic() - started
        return snapshot

    def close(self) -> None:
        """Flush what is worth it, and let go of the files."""
        with self._housekeeping, self._lock:
            self._engines.clear()
            self._embedded.close()

    def _flush_one(self) -> bool:
        now = time.monotonic()
        for collection, state in list(self._pending.items()):
            if collection in self._engines and state.is_due(now):
                with self._lock:
                    self._flush(collection)
                return True
        return False

    def _flush(self, collection: str) -> None:
        flush(self._engines[collection])
        self._pending[collection] = _Pending()

    def _compact_one(self, is_idle: bool) -> bool:
        if time.monotonic() < self._compact_after:
            return False
        for collection, engine in list(self._engines.items()):
            if compaction.is_due(engine, is_idle=is_idle):
                try:
                    with self._lock:
                        self._flush(collection)
                    is_done = compaction.compact(engine, self.gate)
                except Exception:
                    self._compact_after = time.monotonic() + _RETRY_COMPACTION_S
                    raise
                if is_done:
                    return True
        return False


def _keep_ids_unique(engine: Any) -> None:
    """Lite gives ids from a counter that starts anew at the log's sequence number when it is opened, and a refused
    insert moves only the ids: after the next start it would give ids a second time. So the two are kept in step."""
    highest = max((max(segment.pks) for segment in engine._segments_snapshot() if segment.pks), default=0)
    highest = max(highest, max(engine._memtable._pk_index, default=0))
    engine._next_auto_id = max(engine._next_auto_id, highest + 1)
    engine._next_seq = max(engine._next_seq, engine._next_auto_id)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the database's own lock file, so that nobody opens it meanwhile."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: Lite itself will refuse a second process
        yield
        return
    with (path / "LOCK").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise _in_use(path) from exc
        yield


def _in_use(path: Path) -> DataInUse:
    return DataInUse(f"Another process uses the Milvus Lite database {path}; only one can.")
