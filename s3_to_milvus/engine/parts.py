"""What the engine is made of: the ports in use, and its own few settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from s3_to_milvus.domain.recipe import Recipe, fingerprint_of
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.domain.routing import Route
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
    max_object_bytes: int = 4_096 * MIB
    reuse_chunks: int = 20_000
    keep_rows_of_failed: bool = False
    scan_interval_s: float = 300.0
    hold_s: float = 15.0
    stop_s: float = 3.0
    guard_objects: int = 50
    guard_share: float = 0.2
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True)
class Parts:
    """The adapters that a composition root chose. ``stores`` maps each bucket to the store that holds it and may grow,
    as may ``scopes``, the prefixes that are mirrored of each bucket (a bucket that is not in it: all).

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
    scratch: Path = Path()
    config: EngineConfig = field(default_factory=EngineConfig)

    def parser_for(self, media_type: str) -> Parser | None:
        """The first parser that reads this media type."""
        return next((parser for parser in self.parsers if media_type in parser.media_types), None)

    def page_reader_for(self, media_type: str) -> Parser | None:
        """The first parser that reads pages of this media type as pictures."""
        return next((parser for parser in self.parsers if media_type in parser.page_media_types), None)

    def recipe_for(self, parser: Parser | None) -> str:
        """The fingerprint stored with what this parser made. No parser: changes when any parser is added."""
        return self._recipes[None if parser is None else parser.kind]

    def current_recipes(self) -> frozenset[str]:
        """Every recipe that is valid today; what was made by another one must be made again."""
        return frozenset(self._recipes.values())

    @cached_property
    def _recipes(self) -> dict[str | None, str]:
        known = fingerprint_of(*sorted({kind for each in self.parsers for kind in each.media_types}))
        firsts: dict[str | None, str] = {each.kind: self._readers(each) for each in self.parsers}
        firsts[None] = f"none:{known}"
        splitter, embedder = self.splitter.fingerprint, self.embedder.fingerprint
        return {kind: Recipe(first, splitter, embedder).fingerprint for kind, first in firsts.items()}

    def _readers(self, parser: Parser) -> str:
        """A parser, and those that read pages for it: a better reader of pictures makes other rows, too."""
        helpers = [each for each in self.parsers if each is not parser and each.page_media_types & parser.media_types]
        return "+".join(f"{each.kind}:{each.fingerprint}" for each in (parser, *helpers))
