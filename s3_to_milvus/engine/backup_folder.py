"""The folder of a backup: what lies in it, its manifest, and whether it is whole."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3_to_milvus.errors import ConfigError

__all__ = ["LEDGER", "MANIFEST", "VECTORS", "Manifest", "Verified", "read_manifest", "seal", "sync_folder", "verify"]

MANIFEST = "manifest.json"
LEDGER = "ledger.db"
VECTORS = "milvus.db"
_FORMAT = 1
_CHUNK = 4 << 20
_NO_BACKUP_HINT = "Name the folder that `s3-to-milvus backup FOLDER` made."


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. ``files``: size and SHA-256 by path below the folder."""

    made_by: str
    made_at: str
    stores: tuple[str, ...]
    files: dict[str, tuple[int, str]]

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(size for size, _ in self.files.values())

    def answer(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "format": _FORMAT,
            "made_by": self.made_by,
            "made_at": self.made_at,
            "stores": list(self.stores),
            "files": {name: {"size": size, "sha256": digest} for name, (size, digest) in sorted(self.files.items())},
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at every byte found; ``problems`` empty: the backup is as it was made."""

    manifest: Manifest
    problems: tuple[str, ...]


def seal(folder: Path, made_by: str, made_at: str, stores: tuple[str, ...], on_file: Callable[[int], None]) -> Manifest:
    """Bring every file below the folder to the disk, for its owner only, and write the manifest, last.

    ``on_file`` is told how many files are done.
    """
    files: dict[str, tuple[int, str]] = {}
    for path in _files(folder):
        path.chmod(0o600)
        files[path.relative_to(folder).as_posix()] = _digest(path, is_synced=True)
        on_file(len(files))
    manifest = Manifest(made_by, made_at, stores, files)
    target = folder / MANIFEST
    target.touch(mode=0o600)
    target.write_text(json.dumps(manifest.answer(), indent=1) + "\n", encoding="utf-8")
    _digest(target, is_synced=True)
    for each in [*(path for path in folder.rglob("*") if path.is_dir()), folder]:
        each.chmod(0o700)
        sync_folder(each)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Raises `ConfigError` where there is no backup, or one of a version to come."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{folder} holds no backup: there is no {MANIFEST} in it.", hint=_NO_BACKUP_HINT) from exc
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{folder / MANIFEST} can't be read: {exc}.", hint="Use another backup.") from exc
    try:
        if found["format"] != _FORMAT:
            raise ConfigError(
                f"The backup {folder} was made by {found['made_by']}, in a form that this version does not know.",
                hint="Install that version, or a newer one.",
            )
        files = {str(name): (int(each["size"]), str(each["sha256"])) for name, each in found["files"].items()}
        return Manifest(str(found["made_by"]), str(found["made_at"]), tuple(map(str, found["stores"])), files)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ConfigError(f"{folder / MANIFEST} is no manifest of a backup.", hint=_NO_BACKUP_HINT) from exc


def verify(folder: Path, on_file: Callable[[int, int], None] = lambda done, total: None) -> Verified:
    """Read every byte and compare it with the manifest. Raises `ConfigError` where that can't be read.

    ``on_file`` is told how many files of how many are done.
    """
    manifest = read_manifest(folder)
    problems = []
    for done, (name, expected) in enumerate(sorted(manifest.files.items()), 1):
        if problem := _problem(folder, name, expected):
            problems.append(problem)
        on_file(done, len(manifest.files))
    known = {*manifest.files, MANIFEST}
    problems += [
        f"{name} was not there when the backup was made"
        for path in _files(folder)
        if (name := path.relative_to(folder).as_posix()) not in known
    ]
    return Verified(manifest, tuple(problems))


def sync_folder(folder: Path) -> None:
    """Names in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _problem(folder: Path, name: str, expected: tuple[int, str]) -> str:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{name} lies outside of the backup"
    try:
        found = _digest(path, is_synced=False)
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} can't be read: {error.strerror}"
    if found[0] != expected[0]:
        return f"{name} has {found[0]:,} bytes instead of {expected[0]:,}"
    return "" if found == expected else f"{name} holds other bytes than when it was made"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _digest(path: Path, *, is_synced: bool) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
        if is_synced:
            os.fsync(file.fileno())
    return size, digest.hexdigest()
