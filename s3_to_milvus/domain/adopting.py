"""Taking over a collection of the original system: which of its rows are right for which object.

Its rows name a file by its base name and a date only. What can't be told for sure is not taken: such an object is
read and embedded anew. Pure: `engine.adoption` does the work.
"""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum
from hashlib import blake2b
from urllib.parse import unquote_plus

from s3_to_milvus.domain.file_dates import read_date
from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion

__all__ = ["Adoptable", "AdoptionPlan", "Candidate", "Left", "OriginalRow", "Why", "plan_adoption"]

_HOUR_S = 3_600.0
# Ids that a Milvus server gives are timestamps: milliseconds << 18 (its TSO), taken before the insert.
_TSO_BITS = 18
_TSO_FROM_S = 1_500_000_000.0


@dataclass(frozen=True, slots=True)
class OriginalRow:
    """A row of the original system, without its vector."""

    id: int
    file_name: str
    file_date: str
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object of the bucket that belongs into the collection. ``is_done``: its rows stand in ours already."""

    ref: ObjectRef
    version: ObjectVersion
    is_done: bool = False


class Why(StrEnum):
    """Why rows are not taken. All but ``ORPHAN`` (no such object): the objects are read anew.

    ``STALE``: written before the object was. ``UNSURE``: the rows don't tell when they were written, or of which
    version they are. ``AMBIGUOUS``: several objects have this base name.
    """

    ORPHAN = "orphan"
    STALE = "stale"
    UNSURE = "unsure"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Adoptable:
    """The rows (ids, ascending) that are right for an object. ``dropped`` more are doubles, or of older versions."""

    ref: ObjectRef
    version: ObjectVersion
    ids: tuple[int, ...]
    file_date: str
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """Rows under one file name that are not taken, and the objects they may be of."""

    why: Why
    file_name: str
    rows: int
    refs: tuple[ObjectRef, ...] = ()


@dataclass(slots=True)
class AdoptionPlan:
    """``missing``: objects without any row. ``done``: objects that were taken over, or indexed, before."""

    adoptable: list[Adoptable] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    missing: list[ObjectRef] = field(default_factory=list)
    done: list[ObjectRef] = field(default_factory=list)

    def to_read(self) -> list[ObjectRef]:
        """The objects that must be read and embedded anew."""
        unclear = (ref for each in self.left for ref in each.refs)
        skipped = {*self.done, *(each.ref for each in self.adoptable)}
        return [ref for ref in dict.fromkeys([*unclear, *self.missing]) if ref not in skipped]


@dataclass(slots=True)
class _Batch:
    """Rows of one file with one date, ids ascending."""

    file_date: str
    ids: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)


def plan_adoption(
    rows: Iterable[OriginalRow],
    candidates: Sequence[Candidate],
    zone: tzinfo | None = None,
    *,
    is_date_ignored: bool = False,
) -> AdoptionPlan:
    """Match rows with objects.

    ``zone``: of file dates that name none. ``is_date_ignored``: the newest rows of a file are right, whatever their
    date says.
    """
    files = _by_file(rows)
    finder = _Finder(candidates)
    matched: dict[ObjectRef, list[str]] = defaultdict(list)
    plan = AdoptionPlan(done=[each.ref for each in candidates if each.is_done])
    for file_name, batches in files.items():
        refs = [each.ref for each in finder.find(file_name)]
        if len(refs) == 1:
            matched[refs[0]].append(file_name)
        else:
            plan.left.append(Left(Why.AMBIGUOUS if refs else Why.ORPHAN, file_name, _count(batches), tuple(refs)))
    spoken_of = {ref for each in plan.left for ref in each.refs}
    for candidate in candidates:
        names = matched.get(candidate.ref, [])
        batches = [batch for name in names for batch in files[name]]
        if candidate.is_done:
            continue
        if not batches:
            if candidate.ref not in spoken_of:
                plan.missing.append(candidate.ref)
            continue
        _judge(plan, candidate, names[0], batches, zone, is_date_ignored=is_date_ignored)
    return plan


def _judge(
    plan: AdoptionPlan,
    candidate: Candidate,
    file_name: str,
    batches: list[_Batch],
    zone: tzinfo | None,
    *,
    is_date_ignored: bool,
) -> None:
    batches.sort(key=lambda batch: batch.ids[-1])  # ids grow with time
    newest = batches[-1]
    why = None if is_date_ignored else _doubt(candidate.version, newest, batches[:-1], zone)
    total = _count(batches)
    if why is not None:
        plan.left.append(Left(why, file_name, total, (candidate.ref,)))
        return
    ids = tuple(newest.ids[place] for place in _one_copy(newest.digests))
    plan.adoptable.append(Adoptable(candidate.ref, candidate.version, ids, newest.file_date, total - len(ids)))


def _by_file(rows: Iterable[OriginalRow]) -> dict[str, list[_Batch]]:
    files: dict[str, dict[str, _Batch]] = defaultdict(dict)
    for row in _ascending(rows):
        batch = files[row.file_name].setdefault(row.file_date, _Batch(row.file_date))
        batch.ids.append(row.id)
        batch.digests.append(blake2b(row.text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
    return {name: list(batches.values()) for name, batches in files.items()}


def _ascending(rows: Iterable[OriginalRow]) -> Iterator[OriginalRow]:
    """The rows as they come, which must be ascending by id."""
    last = -math.inf
    for row in rows:
        if row.id <= last:
            raise ValueError("the rows are not ascending by id")
        last = row.id
        yield row


def _count(batches: Iterable[_Batch]) -> int:
    return sum(len(batch.ids) for batch in batches)


class _Finder:
    """Objects by the name that rows give them: the whole key, or the base name, in any spelling of Unicode."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._by_key: dict[str, list[Candidate]] = defaultdict(list)
        self._by_name: dict[str, list[Candidate]] = defaultdict(list)
        for each in candidates:
            self._by_key[_composed(each.ref.key)].append(each)
            self._by_name[_composed(each.ref.file_name)].append(each)

    def find(self, file_name: str) -> list[Candidate]:
        """The objects that are meant; an event's key may have been stored as it came, with %20 or + in it."""
        for spelling in dict.fromkeys((file_name, unquote_plus(file_name))):
            composed = _composed(spelling)
            if found := self._by_key.get(composed) or self._by_name.get(composed):
                exact = [each for each in found if spelling in (each.ref.key, each.ref.file_name)]
                return exact or found
        return []


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _doubt(version: ObjectVersion, newest: _Batch, older: Sequence[_Batch], zone: tzinfo | None) -> Why | None:
    """Why the newest rows of a file may not be taken for its object; None where they are right."""
    if any(_may_be_one(newest, batch, zone) for batch in older):
        return Why.UNSURE
    if version.modified_at is None:
        return Why.UNSURE
    modified_s = math.floor(version.modified_at)
    if _given_at(newest.ids[0]) >= version.modified_at:
        return None
    written = read_date(newest.file_date, zone)
    if written is None:
        return Why.UNSURE
    if written.latest < modified_s:
        return Why.STALE
    return None if written.earliest >= modified_s else Why.UNSURE


def _given_at(row_id: int) -> float:
    """Not before then was the row written; 0 where the id does not tell."""
    seconds = (row_id >> _TSO_BITS) / 1_000
    return seconds if seconds > _TSO_FROM_S else 0.0


def _may_be_one(newest: _Batch, older: _Batch, zone: tzinfo | None) -> bool:
    """True where both may be parts of one version, written with the time of each request: no text of the older one
    comes again in the newest, and they were written within the hour."""
    if not set(newest.digests).isdisjoint(older.digests):
        return False
    first, second = read_date(older.file_date, zone), read_date(newest.file_date, zone)
    return first is not None and second is not None and abs(second.earliest - first.earliest) < _HOUR_S


def _one_copy(digests: Sequence[bytes]) -> list[int]:
    """Places of one copy of a document that may have been inserted several times, wholly or in part.

    Whole copies one after the other: the last one. Copies in each other (two handlers at a time): of each text its
    share. Copies that begin anew, of which one is whole: that one. Else all: a document may repeat itself.
    """
    count = len(digests)
    for period in range(1, count // 2 + 1):
        if count % period == 0 and _repeats(digests, period):
            return list(range(count - period, count))
    copies = math.gcd(*Counter(digests).values())
    if copies > 1:
        return _shares(digests, copies)
    everything = set(digests)
    starts = [place for place, digest in enumerate(digests) if digest == digests[0]]
    if len(starts) > 1:
        for first, end in reversed(list(zip(starts, [*starts[1:], count], strict=True))):
            if set(digests[first:end]) == everything:
                return list(range(first, end))
    return list(range(count))


def _repeats(digests: Sequence[bytes], period: int) -> bool:
    return all(digests[place] == digests[place - period] for place in range(period, len(digests)))


def _shares(digests: Sequence[bytes], copies: int) -> list[int]:
    wanted = {digest: count // copies for digest, count in Counter(digests).items()}
    places = []
    for place, digest in enumerate(digests):
        if wanted[digest]:
            wanted[digest] -= 1
            places.append(place)
    return places
