"""The take-over of a collection that the original system made: planned, copied, and succeeded by ours.

The rows are copied with their vectors into a new collection that has our columns, by the same line as any other
object's (claim, insert, commit, settle), so that a crash at any point leaves work to repeat. What can't be taken is
read from the bucket. Only then the new collection gets the old one's name; the old one stays, under another.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

import numpy as np

from s3_to_milvus.domain.adopting import AdoptionPlan, Candidate, Dates, kept_name, plan_adoption, successor_name
from s3_to_milvus.domain.objects import Lane, ObjectRef, ObjectVersion
from s3_to_milvus.domain.records import ObjectState, ObjectStatus, Outcome
from s3_to_milvus.domain.routing import collection_name
from s3_to_milvus.domain.rows import CollectionSpec, IdRanges
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.donation import Donation
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.resolve import Done
from s3_to_milvus.errors import ConfigError, SchemaMismatch
from s3_to_milvus.ports import OriginalCollection, Originals, SourceEntry

__all__ = ["Adopted", "Adopter", "Adoption", "AdoptionTally"]

_SAMPLES = 3
_SAME_MODEL = 0.9  # cosine; two models' vectors of one text have about none in common


@dataclass(slots=True)
class Adoption:
    """What a take-over of ``name`` would do. ``source``: what the original's collection is called now.

    ``kept``: what it will be called. ``similarity``: the least cosine between vectors that stand and those that the
    embedder makes of the same texts (None: there was nothing to compare). ``is_over``: it was taken over before.
    """

    name: str
    source: str
    kept: str
    spec: CollectionSpec
    plan: AdoptionPlan = field(default_factory=AdoptionPlan)
    similarity: float | None = None
    is_over: bool = False

    @property
    def refs(self) -> list[ObjectRef]:
        """The objects that are not in our collection yet."""
        return [*(each.ref for each in self.plan.adoptable), *self.plan.to_read()]


class AdoptionTally:
    """Listens to finished attempts of these objects. ``copied`` objects, ``read`` anew, ``embedded`` texts."""

    def __init__(self, refs: Iterable[ObjectRef]) -> None:
        self._refs = frozenset(refs)
        self._lock = threading.Lock()
        self._ended: set[ObjectRef] = set()
        self.copied = self.read = self.embedded = 0

    @property
    def is_complete(self) -> bool:
        """True once every object came to an end of some kind that is not tried again by itself."""
        return len(self._ended) == len(self._refs)

    def take(self, done: Done) -> None:
        """Count one attempt, if it is of these objects."""
        if done.claim.ref not in self._refs:
            return
        with self._lock:
            self.embedded += done.stats.embedded
            if done.outcome not in ("retry", "lost"):
                self._ended.add(done.claim.ref)
            if done.outcome in (Outcome.INDEXED, Outcome.EMPTY):
                self.copied += done.action == "adopt"
                self.read += done.action != "adopt"


@dataclass(frozen=True, slots=True)
class Adopted:
    """How it ended. ``failed``: can't be read; ``waiting``: keep failing for now. ``is_switched``: the name is ours."""

    failed: tuple[ObjectStatus, ...]
    waiting: tuple[ObjectStatus, ...]
    is_switched: bool


class Adopter:
    """One take-over at a time."""

    def __init__(self, parts: Parts, collections: Collections) -> None:
        originals = parts.vectors.originals
        if originals is None:
            raise ConfigError(f"The vector store {parts.vectors.kind} can't take collections over.")
        self._parts = parts
        self._collections = collections
        self._originals: Originals = originals

    def plan(
        self,
        name: str,
        sources: Sequence[SourceEntry],
        zone: tzinfo | None = None,
        dates: Dates | None = None,
    ) -> Adoption:
        """What would be taken over; writes nothing. For ``zone`` and ``dates`` see `plan_adoption`.

        Raises `ConfigError`, `SchemaMismatch` where the collection can't be taken over with these settings.
        """
        embedder = self._parts.embedder
        found, source = self._find(name)
        listed = list(self._listed(name, sources))
        label = next((label for label, _, _ in listed), name)
        spec = CollectionSpec(successor_name(name), label, embedder.dim, embedder.fingerprint)
        adoption = Adoption(name, source, kept_name(name), spec, is_over=found.is_ours)
        if found.is_ours:
            return adoption
        if found.dim != embedder.dim:
            raise SchemaMismatch(
                f"The vectors of {source} have {found.dim} dimensions, those of the embedder {embedder.dim}.",
                hint="Choose the embedder (and its dimensions) that the collection was filled with.",
            )
        candidates = [self._candidate(ref, version, spec) for _, ref, version in listed]
        rows = self._originals.rows(source)
        adoption.plan = plan_adoption(rows, candidates, zone, dates)
        adoption.similarity = self._similarity(adoption)
        return adoption

    def begin(self, adoption: Adoption) -> None:
        """Make the new collection, and mark its objects dirty."""
        parts, plan = self._parts, adoption.plan
        self._collections.adopt(adoption.spec)
        if adoption.source == adoption.name and not self._is_known(adoption.spec.name):
            parts.vectors.drop(adoption.spec.name)  # left by a take-over whose ledger is lost
        self._originals.prepare(adoption.spec, adoption.source)
        for each in plan.adoptable:
            parts.donations[each.ref] = Donation(
                self._originals, adoption.source, each.version, each.ids, each.file_date
            )
        now = parts.clock.now()
        parts.ledger.observe(adoption.refs, Lane.BACKFILL, now)
        failed = [each.ref for each in self._statuses(adoption) if _is_failed(each)]
        if failed:
            parts.ledger.requeue(failed, now)

    def finish(self, adoption: Adoption, *, is_failure_accepted: bool = False) -> Adopted:
        """Give the new collection the name, if it is complete."""
        statuses = list(self._statuses(adoption))
        failed = tuple(each for each in statuses if each.state is ObjectState.FAILED)
        waiting = tuple(each for each in statuses if each.state in (ObjectState.WAITING, ObjectState.RUNNING))
        is_complete = not waiting and (is_failure_accepted or not failed)
        if is_complete:
            self._originals.succeed(adoption.name, adoption.kept, adoption.spec.name)
        self._parts.donations.clear()
        return Adopted(failed, waiting, is_complete)

    def drop_original(self, name: str) -> str:
        """Drop what the original's collection is called since it was taken over; its name. Raises `ConfigError`."""
        kept = kept_name(name)
        standing = self._originals.describe(name)
        old = self._originals.describe(kept) if standing is not None else None
        is_over = standing is not None and standing.name == successor_name(name)
        if not is_over or old is None or old.is_ours:
            raise ConfigError(f"{name} was not taken over, or its original is dropped already: nothing was dropped.")
        self._parts.vectors.drop(kept)
        return kept

    def _is_known(self, collection: str) -> bool:
        """Whether a record names rows of it."""
        return any(each.objects for each in self._parts.ledger.collections() if each.spec.name == collection)

    def _find(self, name: str) -> tuple[OriginalCollection, str]:
        """The original's collection, also where a take-over was killed between its two last steps."""
        kept = kept_name(name)
        found, old = self._originals.describe(name), self._originals.describe(kept)
        is_half_done = found is None and old is not None and not old.is_ours
        if old is not None and is_half_done and self._originals.describe(successor_name(name)) is not None:
            return old, kept
        if found is None:
            names = ", ".join(self._parts.vectors.collections()) or "none"
            raise ConfigError(f"There is no collection {name} in Milvus.", hint=f"There are: {names}.")
        if not found.is_ours and found.name != name:
            raise ConfigError(
                f"{name} is an alias of the collection {found.name}.",
                hint=f"Take over the collection itself (--collection {found.name}), then let the alias lead to its "
                "successor.",
            )
        if not found.is_ours and old is not None:
            raise ConfigError(f"There is a collection {kept} already.", hint="Give it another name first.")
        return found, found.name

    def _listed(self, name: str, sources: Sequence[SourceEntry]) -> Iterator[tuple[str, ObjectRef, ObjectVersion]]:
        """The objects of the sources that belong into the collection, with its label."""
        seen: set[ObjectRef] = set()
        labels: set[str] = set()
        for source in sources:
            for listed in self._parts.stores[source.name].list(source.name, source.prefix):
                ref = ObjectRef(source.name, listed.key)
                label = self._collections.label_of(ref)
                if label is None or ref in seen:
                    continue
                seen.add(ref)
                labels.add(label)
                if name in (label, collection_name(label)):
                    yield label, ref, ObjectVersion(listed.etag, listed.size_bytes, None, listed.modified_at)
        if name not in labels and name not in map(collection_name, labels):
            names = ", ".join(sorted(labels)) or "none"
            raise ConfigError(
                f"No object of the sources goes into the collection {name}; theirs are: {names}.",
                hint="Name the source and the routes that the original had (S2M_PROFILE=cloud: Milvus/<collection>/…).",
            )

    def _candidate(self, ref: ObjectRef, version: ObjectVersion, spec: CollectionSpec) -> Candidate:
        status = self._parts.ledger.status(ref)
        record = status.record if status else None
        is_done = (
            record is not None
            and record.outcome is not Outcome.FAILED
            and record.version.is_same_as(version)
            and record.collection in (spec.name, "")
        )
        return Candidate(ref, version, is_done)

    def _similarity(self, adoption: Adoption) -> float | None:
        """Raises `SchemaMismatch` where the vectors are of another model."""
        chosen = adoption.plan.adoptable
        ids = {chosen[len(chosen) * place // _SAMPLES].ids[0] for place in range(_SAMPLES)} if chosen else set()
        rows = self._originals.fetch(adoption.source, IdRanges.of(ids), with_vectors=True) if ids else []
        rows = [row for row in rows if row.text.strip()]
        if not rows:
            return None
        made = self._parts.embedder.embed_documents([row.text for row in rows])
        found = min(_cosine(row.vector, vector) for row, vector in zip(rows, made, strict=True))
        if found < _SAME_MODEL:
            raise SchemaMismatch(
                f"The vectors of {adoption.source} are not what the embedder makes of the same texts: "
                f"cosine {found:.3f}.",
                hint="Choose the embedder, model and dimensions that the collection was filled with.",
            )
        return round(found, 4)

    def _statuses(self, adoption: Adoption) -> Iterator[ObjectStatus]:
        for ref in adoption.refs:
            status = self._parts.ledger.status(ref)
            if status is not None:
                yield status


def _is_failed(status: ObjectStatus) -> bool:
    return status.record is not None and status.record.outcome is Outcome.FAILED


def _cosine(first: Any, second: Any) -> float:
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.dot(first, second)) / length if length else 0.0
