"""One owner per data folder: a lock that dies with its process, and says who holds it and where to find it."""

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from s3_to_milvus.bootstrap.data_folder import keep_private
from s3_to_milvus.errors import ConfigError, DataInUse

__all__ = ["DataLock", "Owner", "owner_of"]

_NAME = "owner.lock"


@dataclass(frozen=True, slots=True)
class Owner:
    """A live process that holds a data folder. ``url`` None: it is no service (a one-shot command)."""

    pid: int
    url: str | None


def owner_of(data_dir: Path) -> Owner | None:
    """Who holds this data folder now; None: nobody. Raises `ConfigError` where it is another user's."""
    path = data_dir / _NAME
    try:
        if not path.exists():
            return None
        with path.open("r+", encoding="utf-8") as file:
            return None if _try_lock(file) else _read(file)
    except PermissionError as error:
        raise ConfigError(
            f"The data folder {data_dir} is another user's.",
            hint="Run the command as that user (sudo -u NAME …), or choose another folder with S2M_DATA_DIR.",
        ) from error


class DataLock:
    """Held from construction until `release` or the end of the process, however it ends."""

    def __init__(self, data_dir: Path) -> None:
        """Raises `DataInUse` when another process holds it, `ConfigError` when the folder can't be used."""
        try:
            keep_private(data_dir)
            self._file: IO[str] = (data_dir / _NAME).open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"The data folder {data_dir} can't be used: {error.strerror}.",
                hint="Choose another one with S2M_DATA_DIR.",
            ) from error
        if not _try_lock(self._file):
            owner = _read(self._file)
            self._file.close()
            where = f" and serves {owner.url}" if owner.url else ""
            raise DataInUse(f"The data folder {data_dir} is in use: process {owner.pid} holds it{where}.")
        self._write(None)

    def announce(self, url: str) -> None:
        """Say where the service that holds the folder answers."""
        self._write(url)

    def release(self) -> None:
        """Let go. May be called twice."""
        if not self._file.closed:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), 0)
            self._file.close()

    def _write(self, url: str | None) -> None:
        """Where the disk is full the lock holds all the same; commands only do not find the service."""
        with suppress(OSError):
            os.ftruncate(self._file.fileno(), 0)
            os.write(self._file.fileno(), json.dumps({"pid": os.getpid(), "url": url}).encode())


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(file: IO[str]) -> Owner:
    file.seek(0)
    try:
        found = json.loads(file.read() or "{}")
    except ValueError:
        found = {}
    return Owner(int(found.get("pid", 0)), found.get("url"))
