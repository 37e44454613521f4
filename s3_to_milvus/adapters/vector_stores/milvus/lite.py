"""Milvus Lite as a good citizen: one lock, one process, flush when it pays, compaction when it is idle.

And as a careful one: its logs come to the disk, and what happened to its files is noticed.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog

from s3_to_milvus.adapters.vector_stores.milvus import compaction
from s3_to_milvus.adapters.vector_stores.milvus.damage import damage_of
from s3_to_milvus.adapters.vector_stores.milvus.embedded import Embedded
from s3_to_milvus.adapters.vector_stores.milvus.flushing import flush
from s3_to_milvus.adapters.vector_stores.milvus.holding import Held, exclusive, in_use, inode_of
from s3_to_milvus.adapters.vector_stores.milvus.listing import count_after, identities, owners
from s3_to_milvus.adapters.vector_stores.milvus.logs import LogSync, is_torn, sync_files, sync_recovered, take_torn
from s3_to_milvus.adapters.vector_stores.milvus.pending import Pending
from s3_to_milvus.adapters.vector_stores.milvus.repair import remove_indexes, repair, set_aside
from s3_to_milvus.adapters.vector_stores.milvus.snapshot import LiteSnapshot
from s3_to_milvus.adapters.vector_stores.milvus.vendor import trim_memory
from s3_to_milvus.domain.rows import RowIdentity
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import Incident

__all__ = ["LiteDatabase", "acquire", "release"]

log = structlog.get_logger(__name__)

_RETRY_COMPACTION_S = 60.0
_MARK = "s3-to-milvus.mark"  # a file in the folder of a collection
_REMOVED = "its files were removed while the service ran"
_guard = threading.Lock()
_open: dict[Path, "LiteDatabase"] = {}


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
        self._pending: dict[str, Pending] = {}
        self._engines: dict[str, Any] = {}
        self._held = Held()
        self._incidents: list[Incident] = []
        self._logs = LogSync(self._lock)
        self._compact_after = 0.0
        self._embedded: Any = None
        self.openings = 0  # how often files were opened: a client belongs to one opening
        self._open()

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path):
            lines, incidents = repair(self.path)
        for line in lines:
            log.warning("milvus_lite.repaired", path=str(self.path), what=line)
        self._note(incidents)
        try:
            self._embedded = Embedded(self.path)
        except Exception as exc:
            if type(exc).__name__ == "DataDirLockedError":
                raise in_use(self.path) from exc
            raise
        self.uri = self._embedded.uri
        sync_files(self.path, self.path.parent)
        self.openings += 1

    @contextmanager
    def gate(self) -> Iterator[None]:
        """Everybody else waits."""
        with self._lock:
            yield

    @property
    def is_lost(self) -> bool:
        """True when the files of this database were removed or replaced while it was open."""
        return self._embedded is None or inode_of(self.path / "LOCK") != self._embedded.lock_inode

    def reopen(self) -> None:
        """To be called with the gate held: leave the files that are gone, and open what lies there now."""
        if self._embedded is not None:
            self._note(Incident(name, _REMOVED) for name in self._engines or ("",))
            embedded, self._embedded = self._embedded, None
            with contextlib.suppress(OSError):
                embedded.close()
        self._engines.clear()
        self._pending.clear()
        self._held.let_go_all()
        self._logs = LogSync(self._lock)
        self._open()

    def is_gone(self, collection: str) -> bool:
        """To be called with the gate held. True where the collection is not open; where its files went, that is told.

        Nothing may be read or written then: what is in memory, or left of its files, would pass for the whole.
        """
        if collection not in self._engines:
            return True
        if self._held.is_there(collection, self._folder(collection)):
            return False
        self._leave(collection)
        self._note([Incident(collection, _REMOVED)])
        return True

    def incidents(self) -> list[Incident]:
        """What was noticed since the last call."""
        with self._lock:
            torn = take_torn(self.path)
            self._note(Incident(path.parents[1].name, f"the end of its log is torn ({path.name})") for path in torn)
            found, self._incidents = self._incidents, []
            return found

    def _note(self, incidents: Iterable[Incident]) -> None:
        for each in incidents:
            log.warning("milvus_lite.incident", collection=each.collection, what=each.what)
            self._incidents.append(each)

    def has(self, collection: str) -> bool:
        """Whether it is there, damaged or not. With the gate held."""
        return bool(self._embedded.db.has_collection(collection))

    def names(self) -> list[str]:
        """Of all collections, damaged or not. With the gate held."""
        return list(self._embedded.db.list_collections())

    def created(self, collection: str) -> None:
        """To be called with the gate held: a new collection must not vanish with the power."""
        folder = self._folder(collection)
        sync_files(folder / "schema.json", folder, folder.parent)

    def opened(self, collection: str, after_id: int) -> None:
        """To be called with the gate held, once a collection is loaded."""
        engine = self._embedded.db.get_collection(collection)
        sync_recovered(Path(engine._wal.wal_dir))
        self._held.hold(collection, Path(engine.data_dir))
        self._engines[collection] = engine
        _keep_ids_unique(engine, after_id)
        state = self._pending.setdefault(collection, Pending())
        state.rows = max(state.rows, engine.count())
        if is_torn(Path(engine.data_dir)):
            state.is_in_doubt = True  # a flush replaces the log, which would be told with every start

    def renamed(self) -> None:
        """To be called with the gate held: the names of collections must not change back with the power."""
        sync_files(self.path / "aliases.json", self.path / "collections", self.path)

    def raise_ids(self, collection: str, after_id: int) -> None:
        """To be called with the gate held: ids that are given from now on are greater."""
        if engine := self._engines.get(collection):
            _raise_ids(engine, after_id)

    def mend_indexes(self, collection: str) -> None:
        """Drop the index files of a collection that could not be loaded; loading builds them anew."""
        count = remove_indexes(self._folder(collection))
        log.warning("milvus_lite.indexes_rebuilt", collection=collection, files=count)

    def put_aside_if_damaged(self, collection: str) -> bool:
        """A collection could not be opened. True where its data is damaged: it is not there any more."""
        folder = self._folder(collection)
        what = damage_of(folder, is_thorough=True) if folder.exists() else ""
        if what:
            self._leave(collection)
            self._note([set_aside(self.path, folder, what)])
        return bool(what) or not folder.exists()

    def _folder(self, collection: str) -> Path:
        name = self._embedded.db.resolve_collection_name(collection)
        return self.path / "collections" / str(name)

    def _leave(self, collection: str) -> None:
        """Forget a collection whose files are of no use, or gone."""
        with contextlib.suppress(OSError):
            self._embedded.leave(self._folder(collection).name)
        self._forget(collection)

    def _forget(self, collection: str) -> None:
        self._engines.pop(collection, None)
        self._pending.pop(collection, None)
        self._held.let_go(collection)
        self._logs.forget(collection)

    def mark(self, collection: str) -> str:
        """What `put_mark` wrote. With the gate held."""
        try:
            return (self._folder(collection) / _MARK).read_text("ascii")
        except (FileNotFoundError, ValueError):
            return ""

    def put_mark(self, collection: str, mark: str) -> None:
        """Write the mark in one step. With the gate held."""
        path = self._folder(collection) / _MARK
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(mark, "ascii")
        sync_files(unfinished)
        unfinished.replace(path)
        sync_files(path.parent)

    def sync(self, collections: Collection[str]) -> None:
        """What was written to these collections is on the disk once this returns. Not to be called with the gate."""
        with self._lock:
            opened = [each for each in collections if each in self._engines]
            if self.is_lost or [each for each in opened if self.is_gone(each)]:
                raise Unavailable("Milvus Lite: files were removed while the service ran, and rows with them.")
        try:
            self._logs.sync(self._engines, collections)
        except OSError:
            with self._lock:  # the system may have dropped what it could not write: the next write starts with a flush
                for collection in collections:
                    self.failed(collection)
            raise

    def before_write(self, collection: str) -> None:
        """To be called with the gate held: a log that may be torn is replaced before anything is added to it."""
        state = self._pending.get(collection)
        if state is not None and state.is_in_doubt:
            self._flush(collection)

    def wrote(self, collection: str, *, rows: int = 0, deletes: int = 0) -> None:
        """Count what a flush would write."""
        state = self._pending.setdefault(collection, Pending())
        state.rows += rows
        state.deletes += deletes
        state.written_at = time.monotonic()
        self._logs.wrote(collection)

    def searched(self, collection: str) -> None:
        """Rows that are not flushed make a search slow: the next housekeeping flushes them."""
        if state := self._pending.get(collection):
            state.is_searched = True

    def failed(self, collection: str) -> None:
        """A write failed: see `Pending.is_in_doubt`, and `_keep_ids_unique`."""
        self._pending.setdefault(collection, Pending()).is_in_doubt = True
        if engine := self._engines.get(collection):
            _keep_ids_unique(engine, 0)

    def owners(self, collection: str, ids: Iterable[int]) -> dict[int, tuple[str, int]]:
        """By id, object and run. With the gate held."""
        return owners(self._engines[collection], ids)

    def count(self, collection: str, after_id: int) -> int:
        """How many rows have a greater id. With the gate held."""
        return count_after(self._engines[collection], after_id)

    def identities(self, collection: str) -> list[RowIdentity]:
        """Every row, to be called with the gate held. The engine's own query makes every vector a list of numbers."""
        return identities(self._engines[collection])

    @contextmanager
    def dropping(self, collection: str) -> Iterator[None]:
        """No housekeeping while a collection goes."""
        with self._housekeeping, self._lock:
            if not self.is_lost:
                self.is_gone(collection)
            self._forget(collection)
            yield

    def tend(self, *, is_idle: bool) -> bool:
        """Flush or compact one collection that needs it."""
        if not self._housekeeping.acquire(blocking=False):
            return False
        try:
            if self._is_any_lost():
                return False
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
            self._held.let_go_all()
            if self._embedded is not None:
                self._embedded.close()

    def _is_any_lost(self) -> bool:
        """Nothing may be written where files are gone: what is left of a collection would pass for a whole one."""
        with self._lock:
            if self.is_lost:
                return True  # the next call of the store opens what lies there now
            for collection in list(self._engines):
                self.is_gone(collection)
            return False

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
        self._pending[collection] = Pending()
        self._logs.flushed(collection)

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


def _keep_ids_unique(engine: Any, after_id: int) -> None:
    """Lite gives ids from a counter that starts anew at the log's sequence number when it is opened, and a refused
    insert moves only the ids: after the next start it would give ids a second time. So the two are kept in step."""
    highest = max((max(segment.pks) for segment in engine._segments_snapshot() if segment.pks), default=0)
    _raise_ids(engine, max(highest, after_id, max(engine._memtable._pk_index, default=0)))


def _raise_ids(engine: Any, after_id: int) -> None:
    engine._next_auto_id = max(engine._next_auto_id, after_id + 1)
    engine._next_seq = max(engine._next_seq, engine._next_auto_id)
