"""What the engine is made of: the ports in use, and its own few settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.domain.routing import Route, collection_label, route_of
from s3_to_milvus.engine.donation import Donation
from s3_to_milvus.engine.readers import Readers
from s3_to_milvus.errors import DiskFull
from s3_to_milvus.ports import Clock, Embedder, Ledger, ObjectStore, Parser, Splitter, VectorStore

__all__ = ["EngineConfig", "Parts"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Sizes and times of the engine. Seconds and bytes, as the names say."""

    workers: int = 4
    claim_batch: int = 64
    lease_s: float = 60.0
    recheck_s: float = 300.0
    load_rows: int = 1_000
    load_bytes: int = 4 * MIB
    slow_s: float = 0.25
    gate_bytes: int = 64 * MIB
    inline_bytes: int = MIB
    page_workers: int = 2
    limits: DocumentLimits = field(default_factory=DocumentLimits)
    max_object_bytes: int = 4_096 * MIB
    reuse_chunks: int = 20_000
    keep_rows_of_failed: bool = False
    scan_interval_s: float = 300.0
    hold_s: float = 15.0
    hold_disk_s: float = 2.0
    stop_s: float = 3.0
    guard_objects: int = 50
    guard_share: float = 0.2
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def hold_of(self, error: BaseException) -> float:
        """How long the queue is held for an error; a disk is asked again soon, which costs nothing."""
        return min(self.hold_s, self.hold_disk_s) if isinstance(error, DiskFull) else self.hold_s


@dataclass(frozen=True)
class Parts:
    """The adapters that a composition root chose. ``stores`` maps each bucket to the store that holds it and may grow,
    as may ``scopes``, the prefixes that are mirrored of each bucket (a bucket that is not in it: all). ``parsers`` are
    those of all routes; one that names none uses all of them. ``donations``: rows that need not be made, by object;
    filled while a collection is taken over.

    ``sniff(data, path, file_name)`` detects a media type by content; ``describe`` names one for people.
    """

    stores: Mapping[str, ObjectStore]
    parsers: Sequence[Parser]
    sniff: Callable[[bytes | None, Path | None, str], str]
    describe: Callable[[str], str]
    splitter: Splitter
    embedder: Embedder
    vectors: VectorStore
    ledger: Ledger
    clock: Clock
    routes: Sequence[Route] = (Route(),)
    scopes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    donations: dict[ObjectRef, Donation] = field(default_factory=dict)
    scratch: Path = Path()
    config: EngineConfig = field(default_factory=EngineConfig)

    def readers_of(self, ref: ObjectRef) -> Readers:
        """The parsers of the object's route, with the splitter's fingerprint for its collection."""
        if self._shared is not None and not self.splitter.own_fingerprints:
            return self._shared
        route = route_of(self.routes, ref)
        found = self._unrouted if route is None else self._readers.get(route, self._unrouted)
        own = None if route is None else self.splitter.own_fingerprints.get(collection_label(route, ref))
        return found if own is None else found.with_splitter(own)

    @cached_property
    def _readers(self) -> dict[Route, Readers]:
        return {route: self._made(route) for route in self.routes}

    @cached_property
    def _unrouted(self) -> Readers:
        return self._made(Route())

    @cached_property
    def _shared(self) -> Readers | None:
        """The readers of all routes, where they are the same: no route needs to be looked for."""
        first = self._made(Route() if not self.routes else self.routes[0])
        return first if all(each == first for each in self._readers.values()) else None

    def _made(self, route: Route) -> Readers:
        by_kind = {parser.kind: parser for parser in self.parsers}
        parsers = [by_kind[kind] for kind in route.parsers] if route.parsers else list(self.parsers)
        return Readers(
            parsers, self.describe, self.splitter.fingerprint, self.embedder.fingerprint, passwords=route.passwords
        )
