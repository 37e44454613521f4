"""The doctor: asks every adapter in use whether it works, and says what to do where it does not."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from s3_to_milvus import registry
from s3_to_milvus.bootstrap.chosen import Chosen
from s3_to_milvus.bootstrap.data_folder import keep_private
from s3_to_milvus.bootstrap.datalock import DataLock, owner_of
from s3_to_milvus.bootstrap.restoring import finish_restore
from s3_to_milvus.bootstrap.sources import ANY_BUCKET, Address, entry_for, parse_address
from s3_to_milvus.engine.integrity import inspect
from s3_to_milvus.errors import S3ToMilvusError, TransientError, UnsupportedFormat
from s3_to_milvus.ports import CollectionCounts, Ledger, VectorStore
from s3_to_milvus.settings import Settings

__all__ = ["Finding", "doctor"]

_LOW_DISK_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Optional ones only cost comfort or speed."""

    name: str
    is_ok: bool
    message: str
    hint: str = ""
    is_optional: bool = False


def doctor(settings: Settings) -> list[Finding]:
    """Look at everything in use with harmless calls; what only the owner of the data may open is left to it."""
    found = [_try("settings", partial(_settings, settings))]
    if not found[0].is_ok:
        return found
    chosen = Chosen(settings)
    try:
        return [*found, *_look(settings, chosen)]
    finally:
        chosen.close()


def _look(settings: Settings, chosen: Chosen) -> Iterator[Finding]:
    owner = owner_of(settings.data_dir)
    yield _disk(settings)
    if owner is not None:
        where = f" at {owner.url}" if owner.url else ""
        yield Finding("data folder", is_ok=True, message=f"in use by process {owner.pid}{where}")
    else:
        keep_private(settings.data_dir)
        yield from _finish_restore(settings)
        yield _try("vector store", lambda: _vectors(chosen))
        yield _try("ledger", lambda: _ledger(chosen))
        yield _try("collections", lambda: _collections(chosen))
    yield _try("embedder", lambda: chosen.embedder().check())
    parsers = chosen.parsers()  # before the first child starts: it loads them while it still may
    yield _isolation(chosen)
    yield from (_try(f"parser {parser.kind}", parser.check) for parser in parsers)
    yield _try("splitter", lambda: chosen.splitter().check())
    yield _try("journal", lambda: chosen.journal().check())
    yield from (
        _try(f"events {kind}", partial(_events, chosen, kind)) for kind in settings.events.kind if kind != "watch"
    )
    for uri in settings.source:
        yield _try(f"source {uri}", partial(_source, chosen, uri))
    yield _onnx()
    for name, reason in registry.broken_plugins().items():
        yield Finding(f"plug-in {name}", is_ok=False, message=reason, hint="Update or remove it.", is_optional=True)


def _try(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, is_ok=True, message=look())
    except S3ToMilvusError as error:
        # What only some files need costs those files, nothing else.
        is_optional = isinstance(error, UnsupportedFormat)
        return Finding(name, is_ok=False, message=error.message, hint=error.hint, is_optional=is_optional)
    except Exception as error:  # noqa: BLE001 - the doctor reports what it meets
        return Finding(name, is_ok=False, message=f"{type(error).__name__}: {error}")


def _settings(settings: Settings) -> str:
    registry.check(settings)
    return f"data folder {settings.data_dir}"


def _finish_restore(settings: Settings) -> list[Finding]:
    """Said only where it fails."""

    def finish() -> str:
        lock = DataLock(settings.data_dir)
        try:
            finish_restore(settings.data_dir)
        finally:
            lock.release()
        return ""

    found = _try("restore", finish)
    return [] if found.is_ok else [found]


def _vectors(chosen: Chosen) -> str:
    vectors = chosen.vectors()
    try:
        return vectors.check()
    finally:
        vectors.close()


def _ledger(chosen: Chosen) -> str:
    ledger: Ledger = chosen.ledger()
    try:
        return ledger.check()
    finally:
        ledger.close()


def _collections(chosen: Chosen) -> str:
    """Opens every collection that the ledger knows, and compares it as a scan does."""
    vectors, ledger = chosen.vectors(), chosen.ledger()
    try:
        known = ledger.collections()
        found = [_state_of(vectors, ledger, each) for each in known]
        wrong = [f"{incident.collection}: {incident.what}" for incident in vectors.incidents()]
        wrong += [each for each in found if each]
    finally:
        vectors.close()
        ledger.close()
    if wrong:
        raise TransientError("; ".join(wrong), hint="It is made good by the next scan of the service, or by a sync.")
    return f"{len(known)} opened, with what the ledger says"


def _state_of(vectors: VectorStore, ledger: Ledger, counts: CollectionCounts) -> str:
    """What is wrong with a collection; empty: nothing."""
    try:
        difference = inspect(vectors, ledger, counts)
    except S3ToMilvusError as error:
        return f"{counts.spec.label}: {error.message}"
    return f"{counts.spec.label}: {difference.what}" if difference else ""


def _events(chosen: Chosen, kind: str) -> str:
    return chosen.event_source(kind).check()


def _source(chosen: Chosen, uri: str) -> str:
    if uri == ANY_BUCKET:
        return f"{chosen.s3_account()}; a bucket is looked at once an event names it"
    address: Address = parse_address(uri)
    entry = entry_for(address, ())
    return chosen.store(address, entry.name).check(entry.name)


def _disk(settings: Settings) -> Finding:
    place = settings.data_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    message = f"{free / (1 << 30):.1f} GiB free for {settings.data_dir}"
    hint = "" if free >= _LOW_DISK_BYTES else "Make room: a full disk holds the queue."
    return Finding("disk", is_ok=free >= _LOW_DISK_BYTES, message=message, hint=hint, is_optional=True)


def _isolation(chosen: Chosen) -> Finding:
    """Where the kernel cannot shut parsers off wholly, it is said; nothing stops for it."""
    found = _try("isolation", chosen.isolation)
    is_full = found.is_ok and found.message.startswith("full")
    hint = "" if is_full else "Linux 5.13 or newer with Landlock and seccomp shuts parsers off from files and network."
    return replace(found, is_ok=is_full, hint=found.hint or hint, is_optional=True)


def _onnx() -> Finding:
    has_onnx = importlib.util.find_spec("onnxruntime") is not None and importlib.util.find_spec("onnx") is not None
    message = "ONNX Runtime is there" if has_onnx else "ONNX Runtime is missing: the local model runs at half the speed"
    return Finding(
        "fast engine", is_ok=has_onnx, message=message, hint="pip install onnx onnxruntime", is_optional=True
    )
