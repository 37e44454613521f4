"""Makes the adapters that the settings choose."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from s3_to_milvus import registry
from s3_to_milvus.bootstrap.ledger_limits import LedgerLimits
from s3_to_milvus.bootstrap.ledger_tickets import LedgerTickets
from s3_to_milvus.bootstrap.sources import FOLDER, S3, Address
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.quarantine import Decoded, Refused
from s3_to_milvus.domain.recipe import fingerprint_of
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.engine.hints import Hints
from s3_to_milvus.engine.parts import MIB, EngineConfig
from s3_to_milvus.ports import (
    Clock,
    Embedder,
    EventSource,
    Journal,
    Ledger,
    ObjectStore,
    Parser,
    Splitter,
    VectorStore,
)
from s3_to_milvus.settings import ParsingSettings, Settings

__all__ = ["Chosen", "engine_config"]

# Decoded in the service itself: it needs no foreign library. Everything else runs in child processes, and so does what
# was in work when the service died.
_IN_SERVICE = frozenset({"text"})


def engine_config(settings: Settings) -> EngineConfig:
    """The engine's own sizes and times."""
    given = settings.engine
    return EngineConfig(
        workers=given.workers,
        claim_batch=given.claim_batch,
        page_workers=settings.parsing.workers,
        limits=_limits(settings.parsing),
        lease_s=given.lease_s,
        recheck_s=given.recheck_s,
        load_rows=given.load_rows,
        gate_bytes=given.gate_mb * MIB,
        max_object_bytes=given.max_object_mb * MIB,
        keep_rows_of_failed=given.keep_rows_of_failed,
        scan_interval_s=given.scan_interval_s,
        guard_objects=given.guard_objects,
        guard_share=given.guard_share,
        retry=RetryPolicy(defect_attempts=given.max_attempts, crashed_s=given.crashed_retry_s),
    )


def _limits(given: ParsingSettings) -> DocumentLimits:
    return DocumentLimits(
        pages=given.max_pages,
        unpacked_bytes=given.max_unpacked_mb * MIB,
        members=given.max_members,
        text_chars=given.max_text_chars,
    )


class Chosen:
    """One method per port. Constructors of adapters are cheap: models load and databases open when first used."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigError` for settings that name adapters that are not there."""
        registry.check(settings)
        self._settings = settings
        self._data = settings.data_dir
        self._pool: Any = None
        self._s3: ObjectStore | None = None
        self._tickets: LedgerTickets | None = None
        self._limits: LedgerLimits | None = None

    def share(self, ledger: Ledger, clock: Clock) -> None:
        """What is made from now on keeps its tickets, and the rates of services, in the ledger.

        Without it no restart is survived: a document may be paid for twice, and each process has its own rates.
        """
        self._tickets, self._limits = LedgerTickets(ledger, clock), LedgerLimits(ledger, clock)

    @property
    def ledger_file(self) -> Path:
        """Where the ledger lies."""
        return self._data / "ledger.db"

    def ledger(self, file: Path | None = None) -> Ledger:
        """The ledger; opened. ``file``: another one than that of the data folder."""
        kind = self._settings.ledger.kind
        made: Ledger = registry.load("ledger", kind)(self._options("ledger", kind), file or self.ledger_file)
        return made

    def vectors(self) -> VectorStore:
        """The vector store."""
        kind = self._settings.vector_store.kind
        made: VectorStore = registry.load("vector_store", kind)(
            self._options("vector_store", kind), self._data / "milvus.db"
        )
        return made

    def embedder(self) -> Embedder:
        """The embedder. ``local`` keeps the graph that it builds in the data folder."""
        kind = self._settings.embedder.kind
        options = self._options("embedder", kind)
        extra = {"local": (self._data / "models",), "openai": (self._limits,)}.get(kind, ())
        made: Embedder = registry.load("embedder", kind)(options, *extra)
        return made

    def splitter(self) -> Splitter:
        """The splitter."""
        kind = self._settings.splitter.kind
        made: Splitter = registry.load("splitter", kind)(self._options("splitter", kind))
        return made

    def journal(self) -> Journal:
        """The journal."""
        kind = self._settings.journal.kind
        extra = {"notion": (self._limits, self._tickets), "slack": (self._limits,)}.get(kind, ())
        made: Journal = registry.load("journal", kind)(self._options("journal", kind), *extra)
        return made

    def parsers(self) -> list[Parser]:
        """The parsers of all routes in the order of the settings; foreign libraries in child processes."""
        routes = self._settings.routes
        kinds = dict.fromkeys((*self._settings.parser.kind, *(kind for each in routes for kind in each.parsers)))
        return [self._upstage() if kind == "upstage" else self._parser(kind) for kind in kinds]

    def isolation(self) -> str:
        """How far the parsing children are shut off; a child is started to see."""
        found: str = self._parsing_pool().isolation()
        return found

    def watches(self, folders: Mapping[str, Path]) -> list[EventSource]:
        """What tells about changes in these folders (bucket to path)."""
        if "watch" not in self._settings.events.kind or not folders:
            return []
        return [registry.load("event_source", "watch")(self._options("event_source", "watch"), folders)]

    def events(self, hints: Hints) -> list[EventSource]:
        """What tells about changes anywhere: queues, and sources of other packages."""
        kinds = [kind for kind in self._settings.events.kind if kind != "watch"]
        return [self.event_source(kind, hints.decode, hints.keep) for kind in kinds]

    def event_source(
        self,
        kind: str,
        decode: Callable[[object], Decoded] = lambda body: Decoded(),
        keep: Callable[[Sequence[Refused], str], None] = lambda refused, source: None,
    ) -> EventSource:
        """One of them; without ``decode`` and ``keep`` good for its check only."""
        extra = (decode, keep) if kind == "sqs" else ()
        made: EventSource = registry.load("event_source", kind)(self._options("event_source", kind), *extra)
        return made

    def store(self, address: Address, name: str) -> ObjectStore:
        """The store that holds a source."""
        if address.kind == FOLDER:
            made: ObjectStore = registry.load("object_store", FOLDER)(
                self._options("object_store", FOLDER), {name: Path(address.place)}
            )
            return made
        found: ObjectStore = self._s3_store()
        return found

    def s3_account(self) -> str:
        """Whether the S3 server answers and knows us, whatever bucket it will be."""
        found: str = self._s3_store().check_account()
        return found

    def _s3_store(self) -> Any:
        """With `check_account`, which no port has."""
        if self._s3 is None:
            self._s3 = registry.load("object_store", S3)(self._options("object_store", S3))
        return self._s3

    def close(self) -> None:
        """Stop child processes."""
        if self._pool is not None:
            self._pool.close()

    def _parser(self, kind: str) -> Parser:
        adapter = registry.load("parser", kind)
        options = self._options("parser", kind)
        isolated = self._isolated(kind, adapter, options)
        if kind not in _IN_SERVICE:
            return isolated
        from s3_to_milvus.adapters.parsers.cautious import CautiousParser

        return CautiousParser(adapter(options), isolated)

    def _isolated(self, kind: str, adapter: Any, options: Any) -> Parser:
        wrapped: Parser = self._parsing_pool().wrap(
            registry.target("parser", kind),
            options.model_dump(mode="json"),
            kind=adapter.kind,
            fingerprint=_fingerprint(adapter, options),
            media_types=adapter.media_types,
            page_media_types=getattr(adapter, "page_media_types", frozenset()),
            formats=getattr(adapter, "formats", ()),
            preload=getattr(adapter, "preload", ()),
        )
        return wrapped

    def _upstage(self) -> Parser:
        """It needs the network, so it runs here; what opens files for it runs in the children."""
        options = self._options("parser", "upstage")
        adapter = registry.load("parser", "upstage")
        module, _, _ = registry.target("parser", "upstage").partition(":")
        cutter = import_module(module).UpstageCutter
        given = cutter.Options(part_pages=options.part_pages, image_mb=options.image_mb)
        wrapped = self._parsing_pool().wrap(
            f"{module}.cutting:{cutter.__name__}",
            given.model_dump(mode="json"),
            kind=cutter.kind,
            fingerprint=cutter.fingerprint,
            media_types=cutter.media_types,
            preload=cutter.preload,
        )
        made: Parser = adapter(options, wrapped, self._tickets, self._limits)
        return made

    def _parsing_pool(self) -> Any:
        if self._pool is None:
            from s3_to_milvus.adapters.parsers.isolated import ParsingPool

            given = self._settings.parsing
            options = ParsingPool.Options(timeout_s=given.timeout_s, memory_mb=given.memory_mb, workers=given.workers)
            self._pool = ParsingPool(options, self._data / "parsing")
        return self._pool

    def _options(self, port: str, kind: str) -> Any:
        return registry.options(self._settings, port, kind)


def _fingerprint(adapter: Any, options: Any) -> str:
    """A parser's own fingerprint, and what of its options could change the result: all of them."""
    if not type(options).model_fields:
        return str(adapter.fingerprint)
    return fingerprint_of(adapter.fingerprint, options.model_dump_json())
