"""A moment of a Milvus Lite database: its files, kept by links while they are copied.

Data, tombstones and indexes are written once and later removed; the log is only added to; manifest and schema are small
and replaced as a whole. So nobody waits for the copy: while the gate is held, files are linked, the small ones copied.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["SNAPSHOT", "LiteSnapshot"]

SNAPSHOT = "snapshot"  # below the database; what a killed process left there is removed when it is opened
_LINKED = (".parquet", "idx", ".arrow")
_LEFT_OUT = ("LOCK", "socket", SNAPSHOT, ".database-staging")
_UNFINISHED = (".tmp", ".unfinished")
_CHUNK = 8 << 20


class LiteSnapshot:
    """Implements `ports.Frozen`. To be made with the gate and every maintenance lock of the engine held."""

    def __init__(self, database: Path) -> None:
        self.paused_s = 0.0
        self._kept = database / SNAPSHOT
        shutil.rmtree(self._kept, ignore_errors=True)
        self._sizes: dict[Path, int] = {}
        try:
            for path in _files(database):
                self._keep(path, self._kept / path.relative_to(database))
        except BaseException:
            self.close()
            raise
        self.size_bytes = sum(self._sizes.values())

    def write(self, target: Path) -> None:
        """See `Frozen`."""
        target.mkdir(mode=0o700)
        for path, size in self._sizes.items():
            copy = target / path.relative_to(self._kept)
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(path, copy, size)

    def close(self) -> None:
        """See `Frozen`."""
        shutil.rmtree(self._kept, ignore_errors=True)

    def _keep(self, path: Path, kept: Path) -> None:
        """What is added to a log from now on stands behind its size."""
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.name.endswith(_LINKED) or not _link(path, kept):
            shutil.copyfile(path, kept)
        self._sizes[kept] = kept.stat().st_size


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name in _LEFT_OUT or entry.name.endswith(_UNFINISHED):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _link(path: Path, kept: Path) -> bool:
    try:
        os.link(path, kept)
    except OSError:  # a file system without links: the copy is made while everybody waits
        return False
    return True


def _copy(path: Path, copy: Path, size: int) -> None:
    with path.open("rb") as source, copy.open("xb") as target:
        while size > 0 and (piece := source.read(min(size, _CHUNK))):
            target.write(piece)
            size -= len(piece)
