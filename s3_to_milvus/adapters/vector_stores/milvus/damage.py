"""Collections of Milvus Lite whose files are missing or unreadable: found, and put aside, never deleted.

Lite takes a collection without its manifest for a new one and removes the files that no manifest names.
"""

import importlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_pyarrow

__all__ = ["damage_of", "files_of", "is_empty", "put_aside"]

_DAMAGED = "damaged"  # beside Lite's own "collections"
_MANIFESTS = ("manifest.json", "manifest.json.prev")


def damage_of(folder: Path, *, is_thorough: bool = False) -> str:
    """What of a collection's files is missing or unreadable; empty: nothing. ``is_thorough`` reads all data.

    What the system refuses for want of memory, files or rights is no damage: it raises `OSError`.
    """
    if not _is_schema(folder / "schema.json"):
        return "schema.json is missing or unreadable"
    manifests = [folder / name for name in _MANIFESTS if (folder / name).exists()]
    if not manifests:
        return "manifest.json is missing" if _has_data(folder) else ""
    manifest = next((found for path in manifests if (found := files_of(path)) is not None), None)
    if manifest is None:
        return "manifest.json is unreadable"
    return next(_broken_files(folder, manifest, is_thorough), "")


def is_empty(folder: Path) -> bool:
    """True for a folder of a collection that nothing was ever written to."""
    return not _has_data(folder) and not any((folder / "wal").glob("wal_*.arrow"))


def put_aside(database: Path, folder: Path) -> Path:
    """Move a damaged collection (or file) out of Lite's way; an older one of its name makes room. Where it lies."""
    aside = database / _DAMAGED
    aside.mkdir(exist_ok=True)
    for older in aside.glob(f"{folder.name}-[0-9]*"):
        shutil.rmtree(older) if older.is_dir() else older.unlink()
    target = aside / f"{folder.name}-{int(time.time())}"
    folder.rename(target)
    return target


def _has_data(folder: Path) -> bool:
    return any(folder.glob("partitions/*/data/*.parquet"))


def _is_schema(path: Path) -> bool:
    """Whether Lite can read it."""
    persistence: Any = importlib.import_module("milvus_lite.schema.persistence")
    return _read(lambda: persistence.load_schema(str(path))) is not None


def files_of(path: Path) -> list[tuple[str, str]] | None:
    """The files that a manifest names, each with its partition; None where Lite can't read it."""
    manifest: Any = importlib.import_module("milvus_lite.storage.manifest")
    found = _read(lambda: manifest.Manifest._load_path(str(path.parent), str(path)))
    if found is None:
        return None
    parts = (found.get_all_data_files(), found.get_all_delta_files())
    return [(name, rel) for part in parts for name, files in part.items() for rel in files]


def _read(read: Callable[[], Any]) -> Any:
    """None: what is there makes no sense. Raises `OSError` where the system refuses."""
    from milvus_lite.exceptions import MilvusLiteError

    try:
        return read()
    except (FileNotFoundError, MilvusLiteError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _broken_files(folder: Path, files: list[tuple[str, str]], is_thorough: bool) -> Iterator[str]:
    for partition, rel in files:
        path = folder / "partitions" / partition / rel
        if not path.exists():
            yield f"{rel} is missing"
        elif not _is_readable(path, is_thorough):
            yield f"{rel} is damaged"


def _is_readable(path: Path, is_thorough: bool) -> bool:
    pa = load_pyarrow()
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        if is_thorough:
            parquet.read_table(str(path), page_checksum_verification=True).validate(full=True)
        else:
            parquet.read_metadata(str(path))
    except OSError as exc:
        if exc.errno:  # the system's own refusal
            raise
        return False
    except pa.ArrowException:
        return False
    return True
