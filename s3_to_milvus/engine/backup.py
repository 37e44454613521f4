"""A backup of ledger and vectors, of one moment, while everything runs."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from s3_to_milvus.engine.backup_folder import LEDGER, MANIFEST, VECTORS, Manifest, seal, sync_folder
from s3_to_milvus.engine.observe import log
from s3_to_milvus.errors import ConfigError, FatalError, QuotaExhausted, Unavailable
from s3_to_milvus.ports import Clock, Frozen, Ledger, VectorStore

__all__ = ["Backup", "BackupReport", "needed_room", "on_disk"]

_SPARE_BYTES = 16 << 20
_OURS = {LEDGER, f"{LEDGER}-journal", VECTORS, MANIFEST}


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was made. ``has_vectors`` False: they lie on a server. ``paused_s``: how long nobody could write."""

    folder: Path
    manifest: Manifest
    seconds: float
    paused_s: float

    @property
    def has_vectors(self) -> bool:
        """Whether the rows of Milvus are in it."""
        return VECTORS in self.manifest.stores


class Backup:
    """Makes backups, one at a time.

    Every row that the copied ledger calls true is among the copied rows: both are of one moment in which nobody could
    insert or delete, rows are inserted before the ledger says so, and deleted after it says that they are garbage.
    """

    def __init__(self, ledger: Ledger, vectors: VectorStore, clock: Clock, data_dir: Path) -> None:
        self._ledger = ledger
        self._vectors = vectors
        self._clock = clock
        self._data_dir = data_dir
        self._turn = threading.Lock()

    def make(self, folder: Path, on_progress: Callable[[int, int], None] = lambda done, total: None) -> BackupReport:
        """Write it to ``folder``, which must not be there, or be empty. A crash leaves ``folder``.unfinished at most.

        ``on_progress`` is told how many bytes of how many are copied. Raises `ConfigError` for a folder that can't be
        used, `QuotaExhausted` where there is no room, `LedgerDamaged` and `LedgerLost`, `Unavailable` while another
        backup is made.
        """
        folder = folder.expanduser()
        self._refuse(folder)
        if not self._turn.acquire(blocking=False):
            raise Unavailable("Another backup is being made.", hint="Wait until it is done.")
        started = time.monotonic()
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        try:
            with on_disk(f"The backup {folder} can't be written"):
                _clear(unfinished)
                unfinished.parent.mkdir(parents=True, exist_ok=True)
                unfinished.mkdir(mode=0o700)
                try:
                    manifest, paused_s = self._fill(unfinished, on_progress)
                    unfinished.rename(folder)
                except BaseException:
                    shutil.rmtree(unfinished, ignore_errors=True)
                    raise
                sync_folder(folder.parent)
        finally:
            self._turn.release()
        log.info("backup.made", folder=str(folder), size_bytes=manifest.size_bytes, paused_ms=round(paused_s * 1000))
        return BackupReport(folder, manifest, round(time.monotonic() - started, 3), round(paused_s, 4))

    def _refuse(self, folder: Path) -> None:
        if not folder.is_absolute():
            raise ConfigError(f"{folder} is no absolute path.", hint="The service does not know where you are.")
        for place in (self._data_dir, self._vectors.folder):
            if place is not None and folder.resolve().is_relative_to(place.expanduser().resolve()):
                raise ConfigError(
                    f"{folder} lies in {place}, which is to be copied.", hint="Name a folder on another disk."
                )
        if folder.is_mount():
            raise ConfigError(f"{folder} is where a disk is mounted.", hint="Name a folder below it.")
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ConfigError(f"{folder} is there and not empty.", hint="Name a folder that is not there yet.")

    def _fill(self, folder: Path, on_progress: Callable[[int, int], None]) -> tuple[Manifest, float]:
        with ExitStack() as held:
            frozen, paused_s = self._freeze(held)
            total = sum(each.size_bytes for each in frozen.values())
            needed_room(folder, total)
            made_at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="seconds")
            done = 0
            for name, each in frozen.items():
                on_progress(done, total)
                each.write(folder / name)
                done += each.size_bytes
            on_progress(done, total)
        return seal(folder, _made_by(), made_at, tuple(frozen), lambda count: None), paused_s

    def _freeze(self, held: ExitStack) -> tuple[dict[str, Frozen], float]:
        """Both stores at one moment, and how long nobody could write."""
        frozen: dict[str, Frozen] = {}

        def freeze_ledger() -> None:
            frozen[LEDGER] = self._ledger.freeze()
            held.callback(frozen[LEDGER].close)

        vectors = self._vectors.freeze(freeze_ledger)
        if vectors is not None:
            frozen[VECTORS] = vectors
            held.callback(vectors.close)
        return frozen, sum(each.paused_s for each in frozen.values())


def needed_room(folder: Path, size_bytes: int) -> None:
    """Raises `QuotaExhausted` where there is no room for so much."""
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _SPARE_BYTES:
        raise QuotaExhausted(
            f"{size_bytes:,} bytes are needed at {folder}, {free:,} are free.", hint="Make room, or name another disk."
        )


@contextmanager
def on_disk(trouble: str) -> Iterator[None]:
    """Errors of the file system become ours."""
    try:
        yield
    except OSError as exc:
        message = f"{trouble}: {exc.strerror or exc}."
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise QuotaExhausted(message, hint="Make room, or name another disk.") from exc
        raise FatalError(message, hint="Check the folder and its rights.") from exc


def _clear(unfinished: Path) -> None:
    """Remove what a killed backup left, and nothing else."""
    if not os.path.lexists(unfinished):
        return
    if unfinished.is_symlink() or not unfinished.is_dir() or {each.name for each in unfinished.iterdir()} - _OURS:
        raise ConfigError(f"{unfinished} is in the way, and no backup of ours.", hint="Name another folder.")
    shutil.rmtree(unfinished)


def _made_by() -> str:
    try:
        return f"s3-to-milvus {version('s3-to-milvus')}"
    except PackageNotFoundError:
        return "s3-to-milvus"
