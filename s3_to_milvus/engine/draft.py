"""The new rows of one object, while they are being made."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from s3_to_milvus.domain.documents import Chunk
from s3_to_milvus.domain.objects import ObjectVersion
from s3_to_milvus.domain.records import Claim, Outcome, Record, RunStats
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges
from s3_to_milvus.engine.observe import CountedMeter, StageClock
from s3_to_milvus.engine.reuse import Reuse
from s3_to_milvus.ports import Meter

__all__ = ["Draft"]

_WARNING_CHARS = 2_000


@dataclass(slots=True, eq=False)
class Draft:
    """Everything known of an attempt that makes rows. ``ids`` grows with each insert; the commit makes them true.

    ``is_forced``: make the rows anew even where the same bytes were indexed before.
    ``are_rows_missing``: those of the version before are not (all) there.
    ``is_adopted``: the rows are those of the original system, copied.
    ``warnings`` names what of the document could not be read; the record keeps them as its ``error``, without a code.
    ``error`` set: the attempt failed. ``is_unclean``: rows may exist whose ids nobody knows.
    ``meter`` adds up what paid services charged for this attempt.
    """

    claim: Claim
    version: ObjectVersion
    spec: CollectionSpec
    file_date: str
    recipe: str
    content_hash: str
    media_type: str
    language: str = ""
    warnings: tuple[str, ...] = ()
    chunks: Iterator[Chunk] = field(default_factory=lambda: iter(()))
    reuse: Reuse | None = None
    ids: list[int] = field(default_factory=list)
    chunk_count: int = 0
    embedded: int = 0
    error: Exception | None = None
    is_unclean: bool = False
    is_same_content: bool = False
    is_adopted: bool = False
    is_forced: bool = False
    are_rows_missing: bool = False
    clock: StageClock = field(default_factory=StageClock)
    meter: Meter = field(default_factory=CountedMeter)

    def record(self, now: float) -> Record:
        """The record to commit once every chunk is inserted."""
        before = self.claim.record
        if self.is_same_content and before is not None:
            run, ids, count, outcome = before.run, before.ids, before.chunk_count, before.outcome
            note = before.error
        else:
            run, ids, count = self.claim.run, IdRanges.of(self.ids), self.chunk_count
            outcome = Outcome.INDEXED if count else Outcome.EMPTY
            note = "; ".join(self.warnings)[:_WARNING_CHARS]
        return Record(
            ref=self.claim.ref,
            version=self.version,
            outcome=outcome,
            recipe=self.recipe,
            content_hash=self.content_hash,
            collection=self.spec.name if ids else "",
            run=run if ids else 0,
            ids=ids,
            chunk_count=count,
            indexed_at=now,
            media_type=self.media_type,
            error=note,
        )

    @property
    def stats(self) -> RunStats:
        """Costs so far."""
        size_bytes, seconds = self.version.size_bytes, self.clock.as_tuple()
        return RunStats(self.chunk_count, self.embedded, size_bytes, seconds, self.meter.total)
