"""Translates what SQLite reports into our errors, once."""

import errno
import os
import sqlite3

from s3_to_milvus.errors import ConfigError, FatalError, QuotaExhausted, S3ToMilvusError, TooManyOpenFiles, Unavailable

__all__ = ["DAMAGED_HINT", "translated"]

DAMAGED_HINT = (
    "Move the file away (with its -wal and -shm) and start again: everything is found and indexed anew by a scan. "
    "Or put a back-up in its place."
)
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_INTERRUPT")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
_REFUSED = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")


def translated(error: sqlite3.Error, *, is_opening: bool = False) -> S3ToMilvusError:
    """The error of ours that says the same; while opening, what a person must change is a `ConfigError`."""
    name = getattr(error, "sqlite_errorname", None) or ""
    must_act: type[ConfigError | FatalError] = ConfigError if is_opening else FatalError
    if name.startswith("SQLITE_FULL"):
        return QuotaExhausted(
            f"The disk of the ledger is full: {error}.", hint="Free some space; work goes on by itself."
        )
    if name.startswith(_LOCKED):
        return Unavailable(f"Another process holds the ledger: {error}.")
    if name.startswith(_DAMAGED):
        return must_act(f"The ledger is damaged, or no ledger at all: {error}.", hint=DAMAGED_HINT)
    if name.startswith("SQLITE_CANTOPEN") and _can_open_nothing():
        return TooManyOpenFiles(f"The ledger can't be opened: {error}, as nothing can: too many files are open.")
    if name.startswith(_REFUSED):
        return must_act(
            f"The ledger can't be opened or written: {error}.", hint="Check the folder's rights and S2M_DATA_DIR."
        )
    if name.startswith("SQLITE_IOERR"):
        return must_act(f"The disk of the ledger fails: {error}.", hint="Check the disk and the space on it.")
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return Unavailable("The ledger is closed.")
    return FatalError(f"The ledger failed: {error} {name}".strip() + ".")


def _can_open_nothing() -> bool:
    """SQLite does not say why it can't open a file; the system does."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
