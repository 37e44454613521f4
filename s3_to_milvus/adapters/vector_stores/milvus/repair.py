"""Puts right, before Milvus Lite opens its files, what a killed process may have left behind.

Every step removes only what is of no use, and puts aside what is damaged: the callers hold the database's lock file.
"""

import json
import re
import shutil
from pathlib import Path

from s3_to_milvus.adapters.vector_stores.milvus.damage import damage_of, files_of, is_empty, put_aside
from s3_to_milvus.adapters.vector_stores.milvus.logs import sync_files
from s3_to_milvus.adapters.vector_stores.milvus.snapshot import SNAPSHOT
from s3_to_milvus.ports import Incident

__all__ = ["DROPPED", "remove_indexes", "repair", "set_aside"]

DROPPED = "_s3_to_milvus_dropped"  # a collection is renamed to this before its files go
_WAL = re.compile(r"wal_(?:data|delta)_(\d+)\.arrow")


def repair(database: Path) -> tuple[list[str], list[Incident]]:
    """What was put right, one line each; and what may have cost rows."""
    shutil.rmtree(database / SNAPSHOT, ignore_errors=True)
    found: list[str] = []
    incidents = _set_aside_names(database)
    for folder in sorted((database / "collections").glob("*/")):
        is_begun = not (folder / "schema.json").exists() and is_empty(folder)
        if is_begun or folder.name.startswith(DROPPED):
            # Killed while it was made, or while it was dropped; Lite would neither open it nor make it again.
            shutil.rmtree(folder)
            found.append(f"removed the unfinished collection {folder.name}")
            continue
        if what := damage_of(folder):
            incidents.append(set_aside(database, folder, what))
            continue
        if what := _take_older_manifest(folder):
            incidents.append(Incident(folder.name, what))
        found += _remove_stale_logs(folder)
        for unfinished in folder.glob("partitions/*/indexes/*.unfinished"):
            unfinished.unlink()
    return found, incidents


def _set_aside_names(database: Path) -> list[Incident]:
    """Lite reads these small files with nearly every call: an unreadable one would stop all collections."""
    incidents = []
    for path in (database / "aliases.json", database / "database_properties.json"):
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except ValueError:
            where = put_aside(database, path)
            incidents.append(Incident("", f"{path.name} is unreadable and lies in {where} now"))
    return incidents


def set_aside(database: Path, folder: Path, what: str) -> Incident:
    """Put a damaged collection aside, so that it can be made anew."""
    return Incident(folder.name, f"its files are damaged ({what}) and lie in {put_aside(database, folder)} now")


def _take_older_manifest(folder: Path) -> str:
    """Lite would take it as well, with every start, and say nothing. What has happened; empty: nothing."""
    manifest, older = folder / "manifest.json", folder / "manifest.json.prev"
    if files_of(manifest) is not None or not older.exists():
        return ""
    unfinished = folder / "manifest.json.unfinished"
    shutil.copy2(older, unfinished)
    sync_files(unfinished)
    unfinished.replace(manifest)
    sync_files(folder)
    return "manifest.json was missing or unreadable: the one before it was taken, which does not know the last rows"


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


def remove_indexes(folder: Path) -> int:
    """Remove the index files of a collection; the next load builds them anew from the data. Returns how many."""
    paths = list(folder.glob("partitions/*/indexes/*.*idx"))
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
