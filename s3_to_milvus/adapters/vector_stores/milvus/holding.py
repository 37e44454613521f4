"""What an open database of Milvus Lite holds on to, so that other files in the place of its own are noticed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s3_to_milvus.errors import DataInUse

__all__ = ["Held", "exclusive", "in_use", "inode_of"]


class Held:
    """The folders of open collections. They stay open: meanwhile no other folder can have the inode of one."""

    def __init__(self) -> None:
        self._handles: dict[str, int] = {}

    def hold(self, collection: str, folder: Path) -> None:
        """From now on, this is the collection's folder."""
        self.let_go(collection)
        self._handles[collection] = os.open(folder, os.O_RDONLY)

    def is_there(self, collection: str, folder: Path) -> bool:
        """Whether the folder at this path is the one that is held."""
        handle = self._handles.get(collection)
        return handle is not None and os.fstat(handle).st_ino == inode_of(folder)

    def let_go(self, collection: str) -> None:
        """Not held is no error."""
        handle = self._handles.pop(collection, None)
        if handle is not None:
            os.close(handle)

    def let_go_all(self) -> None:
        """Of every folder."""
        for collection in list(self._handles):
            self.let_go(collection)


def inode_of(path: Path) -> int:
    """0 where nothing is there."""
    try:
        return path.stat().st_ino
    except (FileNotFoundError, NotADirectoryError):
        return 0


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
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
            raise in_use(path) from exc
        yield


def in_use(path: Path) -> DataInUse:
    """Somebody else has it open."""
    return DataInUse(f"Another process uses the Milvus Lite database {path}; only one can.")
