"""Translates what SQLite reports into our errors, once, and says what can't be read."""

import errno
import os
import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from s3_to_milvus.errors import (
    ConfigError,
    DiskFull,
    FatalError,
    LedgerDamaged,
    S3ToMilvusError,
    TooManyOpenFiles,
    Unavailable,
)

__all__ = ["UNREADABLE", "checks_rows", "damaged", "translated"]

P = ParamSpec("P")
T = TypeVar("T")

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What making facts of a row raises where its bytes are not those that were written."""
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_INTERRUPT")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
_NO_TEXT, _NO_SCHEMA = "Could not decode to UTF-8", "malformed database schema"  # errors without a name
_REFUSED = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")
# What a disk without space, over its quota or remounted read-only makes of a write.
_UNWRITABLE = frozenset(
    {"SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE"}
)


def translated(
    error: sqlite3.Error | UnicodeDecodeError, *, is_opening: bool = False, file: str = ""
) -> S3ToMilvusError:
    """The error of ours that says the same; while opening, what a person must change is a `ConfigError`."""
    name = getattr(error, "sqlite_errorname", None) or ""
    ledger = f"The ledger {file}".rstrip()
    must_act: type[ConfigError | FatalError] = ConfigError if is_opening else FatalError
    if name == "SQLITE_FULL" or (name in _UNWRITABLE and not is_opening):
        where = f" ({Path(file).parent})" if file else ""
        return DiskFull(f"The disk of the ledger{where} is full or can't be written: {error}.")
    if name.startswith(_LOCKED):
        return Unavailable(f"Another process holds the ledger: {error}.")
    if isinstance(error, UnicodeDecodeError) or _NO_TEXT in str(error):
        return damaged("a text in it can't be decoded", file)  # Python can't even decode messages that quote it
    if name.startswith(_DAMAGED) or _NO_SCHEMA in str(error):
        return damaged(str(error), file)
    if name.startswith("SQLITE_CANTOPEN") and _can_open_nothing():
        return TooManyOpenFiles(f"The ledger can't be opened: {error}, as nothing can: too many files are open.")
    if name.startswith(_REFUSED):
        return must_act(
            f"{ledger} can't be opened or written: {error}.", hint="Check the folder's rights and S2M_DATA_DIR."
        )
    if name.startswith("SQLITE_IOERR"):
        return must_act(f"The disk of the ledger fails: {error}.", hint="Check the disk and the space on it.")
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return Unavailable("The ledger is closed.")
    return FatalError(f"The ledger failed: {error} {name}".strip() + ".")


def damaged(what: str, file: str = "") -> LedgerDamaged:
    """The error that says so; ``what`` was found."""
    return LedgerDamaged(f"{f'The ledger {file}'.rstrip()} is damaged, or no ledger at all: {what}.")


def checks_rows(function: Callable[P, T]) -> Callable[P, T]:
    """For functions that make facts of rows: what they can't read is damage, not a defect."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except UNREADABLE as exc:
            raise damaged(f"a row can't be read ({exc})") from exc

    return checked


def _can_open_nothing() -> bool:
    """SQLite does not say why it can't open a file; the system does."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
