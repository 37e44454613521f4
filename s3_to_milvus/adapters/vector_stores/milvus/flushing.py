"""The flush of Milvus Lite, with a way back when it fails."""

import copy
from typing import Any

__all__ = ["flush"]


def flush(engine: Any) -> None:
    """Write what is in memory into files and start a new log, also when there is nothing to write.

    Lite puts the rows aside before it writes them, and forgets them where writing fails (a full disk): they would be
    missing until the next start. Here they stay, and their log too. To be called with the gate held.
    """
    manifest = engine._manifest
    memory = engine._memtable
    version = manifest.version
    state = copy.deepcopy(manifest._partitions), manifest._current_seq, manifest._active_wal_number
    try:
        engine._trigger_flush()
    except BaseException:
        if manifest.version == version:
            manifest._partitions, manifest._current_seq, manifest._active_wal_number = state
            engine._memtable = memory
        raise
