"""Puts right, before Milvus Lite opens its files, what a killed process may have left behind.

Every step removes only what is of no use: the callers hold the database's lock file.
"""

import json
import re
import shutil
from pathlib import Path

from s3_to_milvus.adapters.vector_stores.milvus.snapshot import SNAPSHOT

__all__ = ["DROPPED", "remove_indexes", "repair"]

DROPPED = "_s3_to_milvus_dropped"  # a collection is renamed to this before its files go
_WAL = re.compile(r"wal_(?:data|delta)_(\d+)\.arrow")


def repair(database: Path) -> list[str]:
    """What was put right, one line each."""
    found = []
    shutil.rmtree(database / SNAPSHOT, ignore_errors=True)
    for folder in sorted((database / "collections").glob("*/")):
        if not (folder / "schema.json").exists() or folder.name.startswith(DROPPED):
            # Killed while it was made, or while it was dropped; Lite would neither open it nor make it again.
            shutil.rmtree(folder)
            found.append(f"removed the unfinished collection {folder.name}")
            continue
        found += _remove_stale_logs(folder)
        for unfinished in folder.glob("partitions/*/indexes/*.unfinished"):
            unfinished.unlink()
    return found


def _remove_stale_logs(folder: Path) -> list[str]:
    """Remove write-ahead logs that a flush has made superfluous but was killed before it removed them.

    Lite would replay them: rows would be there twice, and the next flush would fail ("current_seq is monotonic").
    """
    try:
        active = json.loads((folder / "manifest.json").read_text("utf-8"))["active_wal_number"]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no flush yet; or Lite falls back to the manifest before, whose logs are needed
    if not isinstance(active, int):
        return []
    stale = [
        path
        for path in (folder / "wal").glob("wal_*.arrow")
        if (name := _WAL.fullmatch(path.name)) and int(name[1]) < active
    ]
    for path in stale:
        path.unlink()
    return [f"removed {len(stale)} logs that were flushed already from {folder.name}"] if stale else []


def remove_indexes(database: Path, collection: str) -> int:
    """Remove the index files of a collection; the next load builds them anew from the data. Returns how many."""
    paths = list((database / "collections" / collection).glob("partitions/*/indexes/*.*idx"))
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
