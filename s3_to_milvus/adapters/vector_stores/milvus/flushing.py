"""The flush of Milvus Lite, with a way back when it fails."""

import contextlib
import copy
import os
from typing import Any

__all__ = ["close_log", "flush"]


def flush(engine: Any) -> None:
    """Write what is in memory into files and start a new log, also when there is nothing to write.

    Lite puts the rows aside before it writes them, and forgets them where writing fails (a full disk): they would be
    missing until the next start. Here they stay, and their log too. To be called with the gate held.
    """
    manifest = engine._manifest
    memory, log = engine._memtable, engine._wal
    version = manifest.version
    state = copy.deepcopy(manifest._partitions), manifest._current_seq, manifest._active_wal_number
    try:
        engine._trigger_flush()
    except BaseException:
        if manifest.version == version:
            manifest._partitions, manifest._current_seq, manifest._active_wal_number = state
            engine._memtable = memory
            with contextlib.suppress(OSError):
                close_log(log)
        raise


def close_log(log: Any) -> None:
    """Bring a log to the disk and close it, but keep its files: they are replayed, or removed by the next flush."""
    for writer, sink in ((log._data_writer, log._data_sink), (log._delta_writer, log._delta_sink)):
        if writer is not None and not sink.closed:
            writer.close()
            sink.flush()
            os.fsync(sink.fileno())
            sink.close()
    log._closed = True
