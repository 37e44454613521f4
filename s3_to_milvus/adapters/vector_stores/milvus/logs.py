"""The write-ahead logs of Milvus Lite: read to their last whole batch, and brought to the disk.

Lite brings a log to the disk when it is closed. A power cut before that loses rows that were acknowledged, so we do it
once for each batch that becomes true.
"""

import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_pyarrow

__all__ = ["LogSync", "is_torn", "read_log", "sync_files", "sync_recovered", "take_torn"]

_torn: set[Path] = set()


def read_log(path: str) -> list[Any]:
    """As Lite's own ``_read_wal_file``: every whole batch. A log that does not end with one is remembered as torn.

    Raises `OSError` where it can't be read now; Lite would go on without its rows.
    """
    if not Path(path).exists():
        return []
    batches, is_whole = _read(Path(path))
    if not is_whole:
        _torn.add(Path(path))
    return batches


def take_torn(folder: Path) -> list[Path]:
    """The logs below this folder that were found torn since this was last asked."""
    found = [path for path in _torn if path.is_relative_to(folder)]
    _torn.difference_update(found)
    return sorted(found)


def is_torn(folder: Path) -> bool:
    """Whether one was found torn below this folder, and nobody asked since."""
    return any(path.is_relative_to(folder) for path in _torn)


def _read(path: Path) -> tuple[list[Any], bool]:
    pa = load_pyarrow()
    batches: list[Any] = []
    try:
        with pa.OSFile(str(path), "rb") as source:
            for batch in pa.ipc.open_stream(source):
                batch.validate(full=True)
                batches.append(batch)
            # A file that grew before its bytes came to the disk ends with zeros: to Arrow, the end of the stream.
            return batches, source.tell() == source.size()
    except pa.ArrowInvalid:
        return batches, False
    except OSError as exc:
        if exc.errno:  # the system's own refusal: nothing is known of the log
            raise
        return batches, False


def sync_files(*paths: Path) -> None:
    """Bring files or folders to the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@dataclass(slots=True)
class _Log:
    """How often a collection was written to, and which of these writes are on the disk."""

    written: int = 0
    synced: int = 0
    folders_of: set[str] = field(default_factory=set)


def sync_recovered(folder: Path) -> None:
    """Bring to the disk what a process that was killed left in its logs: its writes may be true by now."""
    if logs := list(folder.glob("wal_*.arrow")):
        sync_files(*logs, folder, folder.parent)


class LogSync:
    """Brings the logs of collections to the disk. Calls that meet share one sync; the gate is held only to look."""

    def __init__(self, gate: threading.RLock) -> None:
        self._gate: Any = gate
        self._turn = threading.Lock()
        self._logs: dict[str, _Log] = {}

    def wrote(self, collection: str) -> None:
        """To be called with the gate held, after each write."""
        self._logs.setdefault(collection, _Log()).written += 1

    def flushed(self, collection: str) -> None:
        """To be called with the gate held: everything stands in files that are on the disk."""
        log = self._logs.setdefault(collection, _Log())
        log.synced = log.written

    def forget(self, collection: str) -> None:
        """The collection is gone."""
        self._logs.pop(collection, None)

    def sync(self, engines: Mapping[str, Any], collections: Collection[str]) -> None:
        """Everything that was written before this call is on the disk once it returns. Raises `OSError`."""
        with self._turn:
            for collection in collections:
                with self._gate:
                    log, engine = self._logs.get(collection), engines.get(collection)
                    if log is None or engine is None or log.synced == log.written:
                        continue
                    written, handles, folder = log.written, _handles(engine), _new_folder(log, engine)
                try:
                    for handle in handles:
                        os.fsync(handle)
                finally:
                    for handle in handles:
                        os.close(handle)
                if folder:
                    sync_files(folder, folder.parent)
                with self._gate:
                    log.synced = max(log.synced, written)


def _handles(engine: Any) -> list[int]:
    """Of the open log, our own: a flush may close it meanwhile."""
    sinks = (engine._wal._data_sink, engine._wal._delta_sink)
    return [os.dup(sink.fileno()) for sink in sinks if sink is not None and not sink.closed]


def _new_folder(log: _Log, engine: Any) -> Path | None:
    """The folder of the log, where it holds a file whose name is not on the disk yet."""
    paths = {path for path in (engine._wal.data_path, engine._wal.delta_path) if path}
    if paths <= log.folders_of:
        return None
    log.folders_of = paths
    return Path(engine._wal.wal_dir)
