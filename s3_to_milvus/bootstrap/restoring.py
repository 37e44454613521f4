"""Puts a backup in the place of the data folder's stores; what it replaces stays beside it under another name."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from s3_to_milvus.bootstrap.chosen import Chosen
from s3_to_milvus.bootstrap.datalock import DataLock
from s3_to_milvus.engine.backup import needed_room, on_disk
from s3_to_milvus.engine.backup_folder import LEDGER, VECTORS, Manifest, sync_folder, verify
from s3_to_milvus.errors import ConfigError, FatalError
from s3_to_milvus.settings import Settings

__all__ = ["Restored", "finish_restore", "restore"]

_PLAN = "restore.json"
_STAGED = ".restoring"
_BESIDE = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place, and where that lies which it replaced."""

    manifest: Manifest
    stores: tuple[str, ...]
    replaced: tuple[Path, ...]


def restore(
    settings: Settings,
    folder: Path,
    stores: tuple[str, ...],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Restored:
    """Put these stores of a backup in place (none named: all that it holds). Killed in between, it is finished, or
    nothing was changed.

    Raises `DataInUse` while a service runs over the data folder, `ConfigError` for a backup that is not whole or does
    not fit, `QuotaExhausted` where there is no room.
    """
    lock = DataLock(settings.data_dir)
    chosen = Chosen(settings)
    try:
        finish_restore(settings.data_dir)
        verified = verify(folder, on_progress)
        if verified.problems:
            more = f", and {len(verified.problems) - 1} more" if len(verified.problems) > 1 else ""
            raise ConfigError(
                f"The backup {folder} is not as it was made: {verified.problems[0]}{more}.", hint="Use another backup."
            )
        places = _places(chosen, verified.manifest, stores)
        with on_disk(f"The backup {folder} can't be restored"):
            replaced = _replace(settings.data_dir, folder, places, chosen)
        return Restored(verified.manifest, tuple(places), replaced)
    finally:
        chosen.close()
        lock.release()


def finish_restore(data_dir: Path) -> None:
    """Finish a restore that was killed once everything was ready. To be called by the owner of the data folder."""
    plan = data_dir / _PLAN
    if not plan.exists():
        return
    with on_disk("A restore that was interrupted can't be finished"):
        try:
            moves = [(Path(source), Path(target), bool(is_aside)) for source, target, is_aside in _read(plan)]
        except (ValueError, TypeError) as exc:
            raise FatalError(f"{plan} can't be read.", hint="Remove it, and restore once more.") from exc
        for source, target, is_aside in moves:
            # What was moved aside is not moved again: what lies in its place now is the backup.
            if os.path.lexists(source) and not (is_aside and os.path.lexists(target)):
                source.rename(target)
        for parent in {target.parent for _, target, _ in moves}:
            sync_folder(parent)
        plan.unlink()
        sync_folder(data_dir)


def _read(plan: Path) -> list[tuple[str, str, bool]]:
    found: list[tuple[str, str, bool]] = json.loads(plan.read_text(encoding="utf-8"))["moves"]
    return found


def _places(chosen: Chosen, manifest: Manifest, stores: tuple[str, ...]) -> dict[str, Path]:
    """Where each store that is wanted goes. Raises `ConfigError` for what is not in the backup, or lies elsewhere."""
    wanted = stores or manifest.stores
    places: dict[str, Path] = {}
    for store in wanted:
        if store not in manifest.stores:
            what = "vectors" if store == VECTORS else "ledger"
            raise ConfigError(f"There is no copy of the {what} in this backup.", hint=f"It holds: {_list(manifest)}.")
        if store == LEDGER:
            places[store] = chosen.ledger_file.resolve()
        elif store == VECTORS:
            lite = chosen.vectors().folder
            if lite is None:
                raise ConfigError(
                    "The vectors of this backup are those of Milvus Lite, but the settings name a server.",
                    hint="Restore the ledger alone: --ledger-only.",
                )
            places[store] = lite.expanduser().resolve()
    return places


def _list(manifest: Manifest) -> str:
    return ", ".join(manifest.stores)


def _replace(data_dir: Path, folder: Path, places: dict[str, Path], chosen: Chosen) -> tuple[Path, ...]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside: list[tuple[Path, Path, bool]] = []
    into: list[tuple[Path, Path, bool]] = []
    for store, place in places.items():
        staged = place.with_name(f"{place.name}{_STAGED}")
        _stage(folder / store, staged)
        if store == LEDGER:
            chosen.ledger(staged).close()  # it opens, and is as new as this version, before anything is replaced
            _sync_all(staged)
        old = _unused(place.with_name(f"{place.name}.replaced-{stamp}"))
        suffixes = _BESIDE if store == LEDGER else ("",)
        pairs = [(Path(f"{place}{suffix}"), Path(f"{old}{suffix}")) for suffix in suffixes]
        aside += [(source, target, True) for source, target in pairs if os.path.lexists(source)]
        into.append((staged, place, False))
    plan = data_dir / _PLAN
    moves = [(str(source), str(target), is_aside) for source, target, is_aside in (*aside, *into)]
    unfinished = plan.with_name(f"{plan.name}{_STAGED}")
    unfinished.write_text(json.dumps({"moves": moves}), encoding="utf-8")
    _sync_all(unfinished)
    unfinished.rename(plan)
    sync_folder(data_dir)
    finish_restore(data_dir)
    return tuple(target for _, target, _ in aside)


def _stage(source: Path, staged: Path) -> None:
    """Copy a store next to its place, on its own disk."""
    for left in (Path(f"{staged}{suffix}") for suffix in _BESIDE):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    staged.parent.mkdir(parents=True, exist_ok=True)
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    needed_room(staged.parent, sum(path.stat().st_size for path in files))
    if source.is_file():
        shutil.copyfile(source, staged)
        staged.chmod(0o600)
    else:
        shutil.copytree(source, staged)
    _sync_all(staged)


def _sync_all(path: Path) -> None:
    """A file or a folder with all that is in it, and its name."""
    for each in (path, *path.rglob("*")):
        sync_folder(each)
    sync_folder(path.parent)


def _unused(path: Path) -> Path:
    """This path, or one like it that is not there."""
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
