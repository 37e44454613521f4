"""The whole system, built from the settings over one data folder."""

import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from s3_to_milvus.bootstrap.chosen import Chosen, engine_config
from s3_to_milvus.bootstrap.data_folder import tighten
from s3_to_milvus.bootstrap.datalock import DataLock
from s3_to_milvus.bootstrap.events import confirm_subscription, decode_each, sns_messages
from s3_to_milvus.bootstrap.named_buckets import NamedBuckets
from s3_to_milvus.bootstrap.restoring import finish_restore
from s3_to_milvus.bootstrap.sources import ANY_BUCKET, FOLDER, Address, entry_for, named_in, parse_address
from s3_to_milvus.engine.backup import Backup
from s3_to_milvus.engine.hints import Hints
from s3_to_milvus.engine.mirror import Mirror
from s3_to_milvus.engine.observe import log
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.service import Service
from s3_to_milvus.errors import ConfigError, DiskFull
from s3_to_milvus.ports import Clock, Ledger, ObjectStore, SourceEntry
from s3_to_milvus.settings import Settings

if TYPE_CHECKING:
    from s3_to_milvus.adapters.events.sns import SnsMessages

__all__ = ["Application", "build"]


def build(settings: Settings, sources: Sequence[str] | None = None) -> "Application":
    """Take the data folder and build everything over it; nothing runs yet.

    ``sources`` None: those of the settings. Raises `DataInUse` while another process holds the folder, `ConfigError`.
    """
    lock = DataLock(settings.data_dir)
    try:
        tighten(settings.data_dir)
        finish_restore(settings.data_dir)
        return Application(settings, lock, settings.source if sources is None else sources)
    except BaseException:
        lock.release()
        raise


class Application:
    """Mirror, service and sources over one data folder. Made by `build`."""

    def __init__(self, settings: Settings, lock: DataLock, sources: Sequence[str]) -> None:
        from s3_to_milvus.adapters.clock import SystemClock
        from s3_to_milvus.adapters.sniff import sniffer
        from s3_to_milvus.domain.media import describe

        self.settings, self._lock = settings, lock
        self._is_built = False
        self._chosen = Chosen(settings)
        self._stores: dict[str, ObjectStore] = {}
        self._scopes: dict[str, list[str]] = {}
        clock = SystemClock()
        ledger = self._own_ledger(clock)
        parsers = self._chosen.parsers()
        parts = Parts(
            stores=self._stores,
            parsers=parsers,
            sniff=sniffer(each for parser in parsers for each in parser.formats),
            describe=describe,
            splitter=self._chosen.splitter(),
            embedder=self._chosen.embedder(),
            vectors=self._chosen.vectors(),
            ledger=ledger,
            clock=clock,
            routes=settings.domain_routes(),
            scopes=self._scopes,
            scratch=_fresh_folder(settings.data_dir / "scratch"),
            config=engine_config(settings),
        )
        self._configured, self._limited = _buckets_in(settings.source), _buckets_in(sources)
        self.mirror = self._mirror_of(parts, sources)
        self.backup = Backup(ledger, parts.vectors, clock, settings.data_dir)
        self._folders: dict[str, Path] = {}
        self._opening = threading.Lock()
        self.sources: list[SourceEntry] = []
        self._open_sources(sources)
        self.hints = Hints(ledger, clock, decode_each, self.mirror.take)
        self.service = self._service()
        self._is_built = True

    def _own_ledger(self, clock: Clock) -> Ledger:
        """The ledger, in which nobody else can hold a claim now; its runs begin above those of every copy of it."""
        ledger = self._chosen.ledger()
        _unless_full(lambda: ledger.expire_all(clock.now()))  # else they end by themselves
        _unless_full(lambda: ledger.raise_runs(int(clock.now() * 1_000_000)))
        self._chosen.share(ledger, clock)
        return ledger

    def _service(self) -> Service:
        events = [*self._chosen.watches(self._folders), *self._chosen.events(self.hints)]
        return Service(self.mirror, self.sources, events, self._chosen.journal())

    def _mirror_of(self, parts: Parts, sources: Sequence[str]) -> Mirror:
        if ANY_BUCKET not in sources:
            return Mirror(parts)
        named = NamedBuckets(self._list_bucket, self._open_named, {address.place for address in self._limited})
        return Mirror(parts, named.open, named.is_known)

    def confirm_subscription(self, content: bytes) -> bool:
        """As `bootstrap.events.confirm_subscription`."""
        return confirm_subscription(content)

    @cached_property
    def _sns(self) -> "SnsMessages":
        return sns_messages(self.settings.auth.sns_topics)

    def signed_by_sns(self, content: bytes) -> bytes:
        """As `SnsMessages.verified`, for the topics of the settings. Raises `Rejected`, `Unavailable`."""
        return self._sns.verified(content)

    def open_source(self, uri: str) -> SourceEntry:
        """Register a folder or ``s3://bucket/prefix``. Raises `ConfigError`.

        A folder, and what the settings name, is remembered now; a bucket that a command names once it was listed, since
        its name may be a mistake.
        """
        address = parse_address(uri)
        if address.kind == FOLDER and Path(address.place).is_relative_to(self.settings.data_dir.resolve()):
            raise ConfigError(
                f"The folder {address.place} lies in the data folder {self.settings.data_dir}.",
                hint="Mirror another folder, or move the data with S2M_DATA_DIR.",
            )
        with self._opening:
            return self._open(address)

    def _open(self, address: Address) -> SourceEntry:
        ledger = self.mirror.parts.ledger
        entry = entry_for(address, [*ledger.sources(), *self.sources])
        # The scope first: a store without one is mirrored wholly.
        if entry.prefix not in self._scopes.setdefault(entry.name, [entry.prefix]):
            self._scopes[entry.name].append(entry.prefix)
        if entry.name not in self._stores:
            self._stores[entry.name] = self._chosen.store(address, entry.name)
        if address.kind == FOLDER:
            self._folders[entry.name] = Path(address.place)
        if address.kind == FOLDER or address in self._configured:
            _unless_full(lambda: ledger.put_source(entry))  # else the first scan remembers it
        if all(entry.uri != each.uri for each in self.sources):
            self.sources.append(entry)
            if address.kind == FOLDER and self._is_built:
                self.service.add_events(self._chosen.watches({entry.name: Path(address.place)}))
        return entry

    def open_known_sources(self) -> list[SourceEntry]:
        """Register every source that was ever mirrored and is still there; for commands that look at all of them.

        A bucket that was never listed to its end, and of which nothing is known, counts only while the settings name
        it: its name may have been a mistake.
        """
        for address in self._configured:
            self.open_source(address.uri)
        for entry in self.mirror.parts.ledger.sources():
            if entry.name not in self._stores and self._is_real(entry):
                try:
                    self.open_source(entry.uri)
                except ConfigError:
                    continue
        return self.sources

    def _is_real(self, entry: SourceEntry) -> bool:
        if not entry.is_bucket or entry.last_scan_at is not None or ANY_BUCKET in self.settings.source:
            return True
        return bool(self.mirror.parts.ledger.objects(bucket=entry.name, limit=1))

    def _open_sources(self, sources: Sequence[str]) -> None:
        """With ``s3://*`` also the buckets that an event named in an earlier life."""
        known = self.mirror.parts.ledger.sources() if ANY_BUCKET in sources else []
        limited = {address.place for address in self._limited}
        named = [entry.uri for entry in known if entry.is_bucket and entry.name not in limited]
        for uri in [*named_in(sources), *named]:
            self.open_source(uri)

    def _open_named(self, uri: str) -> None:
        self.mirror.parts.ledger.put_source(self.open_source(uri))

    def _list_bucket(self, bucket: str) -> None:
        for _ in self._chosen.store(parse_address(f"s3://{bucket}"), bucket).list(bucket):
            return

    def announce(self, url: str) -> None:
        """Tell other commands where this service answers."""
        self._lock.announce(url)

    def start(self) -> None:
        """Start the whole service."""
        # A busy thread gives way after half a millisecond: with Python's default of 5 ms one of them slows every event
        # (measured in bench/ledger.py: p99 62-77 ms against 37 ms).
        sys.setswitchinterval(0.0005)
        self.service.start()

    def stop(self) -> None:
        """Stop everything, then let go of the data folder."""
        try:
            self.service.stop()
        finally:
            self._chosen.close()
            self._lock.release()


def _buckets_in(sources: Sequence[str]) -> list[Address]:
    """Those that are buckets, or parts of them."""
    return [parse_address(uri) for uri in named_in(sources) if uri.startswith("s3://")]


def _fresh_folder(path: Path) -> Path:
    """An empty folder: what a crash left in it belongs to nobody. Where there is no room for it, downloads say so."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
    return path


def _unless_full(write: Callable[[], object]) -> None:
    """A service whose disk is full starts all the same: it answers searches, says what is wrong, goes on by itself."""
    try:
        write()
    except DiskFull as error:
        log.warning("start.disk_full", message=error.told)
