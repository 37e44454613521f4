"""Whether the file below the open connections is whole, and still the one that they opened."""

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import structlog

from s3_to_milvus.adapters.ledger.sqlite.failures import damaged, translated
from s3_to_milvus.errors import LedgerDamaged, LedgerLost, S3ToMilvusError

__all__ = ["FileHealth", "examine"]

log = structlog.get_logger(__name__)

_SUFFIXES = ("", "-wal", "-shm")


def examine(connection: sqlite3.Connection, path: Path) -> None:
    """Read every page of the file (measured: 0.2 s for 55 MiB, 1.2 s for 556 MiB). Raises `LedgerDamaged`.

    Content of cells has no checksum in SQLite: what is not caught here is caught where a row can't be read.
    """
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise damaged(
            str(found[0]).removeprefix("*** in database main ***").strip() if found else "no answer", str(path)
        )


class FileHealth:
    """The first fault that is met stays: nothing is written after it, until the ledger is opened again.

    Made once the connection that writes has written something: from then on the file and its -wal and -shm stay as
    long as that connection.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = self._files()
        self._is_lost = False
        self._fault: LedgerDamaged | LedgerLost | None = None
        self._closing = threading.Event()
        self._reader: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None

    def verify(self) -> None:
        """Raises the fault where there is one. Costs three `stat`: microseconds, beside a commit's milliseconds."""
        self.is_lost()
        if self._fault is not None:
            raise type(self._fault)(self._fault.message, hint=self._fault.hint)  # one that was raised grows

    def is_lost(self) -> bool:
        """Whether the file, its -wal or its -shm was deleted or replaced. As cheap as `verify`."""
        if not self._is_lost and not self._closing.is_set():
            found = self._files()
            lost = [name for name, inode in self._opened.items() if inode is not None and found[name] != inode]
            if lost:
                self._is_lost = True
                what = "is gone" if found[lost[0]] is None else "was replaced by another file"
                self._keep(LedgerLost(f"The ledger's file {lost[0]} {what} while the ledger was open."))
        return self._is_lost

    def noted(self, error: sqlite3.Error | UnicodeDecodeError | LedgerDamaged) -> S3ToMilvusError:
        """The error of ours that says the same; damage is kept."""
        if isinstance(error, LedgerDamaged):
            found: S3ToMilvusError = error
        else:
            found = translated(error, file=str(self._path))
        if isinstance(found, LedgerDamaged):
            self._keep(found)
        return found

    def examine_behind(self, reader: sqlite3.Connection) -> None:
        """Examine the file in a thread, over a connection that is closed afterwards."""
        self._reader = reader
        self._thread = threading.Thread(target=self._examine, args=(reader,), name="ledger-check", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End an examination that runs; from now on files may go."""
        self._closing.set()
        if self._thread is not None and self._reader is not None:
            with suppress(sqlite3.ProgrammingError):  # it is over, and closed
                self._reader.interrupt()
            self._thread.join()

    def _examine(self, reader: sqlite3.Connection) -> None:
        try:
            if not self._closing.is_set():
                examine(reader, self._path)
        except (sqlite3.Error, UnicodeDecodeError, LedgerDamaged) as error:
            if not self._closing.is_set():
                self.noted(error)
        finally:
            reader.close()

    def _keep(self, fault: LedgerDamaged | LedgerLost) -> None:
        if self._fault is None:
            self._fault = fault
            log.error("ledger.fault", code=fault.code, message=fault.message, hint=fault.hint)

    def _files(self) -> dict[str, tuple[int, int] | None]:
        return {name: _inode(name) for name in (f"{self._path}{suffix}" for suffix in _SUFFIXES)}


def _inode(name: str) -> tuple[int, int] | None:
    try:
        found = Path(name).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
