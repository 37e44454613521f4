"""Taking over a collection of the original system: which of its rows are right for which object.

Its rows name a file by its base name and a date only. Rows of which that does not tell that they are right are not
taken: such an object is read and embedded anew. Pure: `engine.adoption` does the work.
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

__all__ = [
    "Adoptable",
    "AdoptionPlan",
    "Candidate",
    "Dates",
    "Left",
    "OriginalRow",
    "Why",
    "kept_name",
    "original_name",
    "plan_adoption",
    "successor_name",
]

_HOUR_S = 3_600.0
_SUCCESSOR = "_s2m"
_KEPT = "_original"


def successor_name(name: str) -> str:
    """What our collection is called that takes the place of the original's."""
    return f"{name}{_SUCCESSOR}"


def original_name(successor: str) -> str:
    """The other way round; empty for a collection that took no other's place."""
    return successor.removesuffix(_SUCCESSOR) if successor.endswith(_SUCCESSOR) else ""


def kept_name(name: str) -> str:
    """What the original's collection is called afterwards."""
    return f"{name}{_KEPT}"


class Dates(StrEnum):
    """What the dates of rows are. ``MODIFIED``: those of the objects (LastModified), so that an equal one is a proof.

    ``INDEXED``: the time of indexing, so that a later one is right, unless the object was replaced while it was being
    indexed. ``IGNORED``: neither: the newest rows of a file are taken as right.
    """

    MODIFIED = "modified"
    INDEXED = "indexed"
    IGNORED = "ignored"


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
    """``missing``: objects without any row. ``done``: objects that were taken over, or indexed, before.

    ``dates``: what the dates of rows were taken for.
    """

    dates: Dates = Dates.INDEXED
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
    dates: Dates | None = None,
) -> AdoptionPlan:
    """Match rows, which come ascending by id, with objects.

    ``zone``: of file dates that name none. ``dates`` None: `Dates.MODIFIED` where more dates of rows equal those of
    their objects than are later, else `Dates.INDEXED`.
    """
    plan = AdoptionPlan(done=[each.ref for each in candidates if each.is_done])
    files = _by_file(rows)
    matched = _match(plan, files, candidates)
    plan.dates = dates or _dates_of(matched.values(), zone)
    spoken_of = {ref for each in plan.left for ref in each.refs}
    for candidate in candidates:
        found = matched.get(candidate.ref)
        if candidate.is_done:
            continue
        if found is not None:
            _judge(plan, found, zone)
        elif candidate.ref not in spoken_of:
            plan.missing.append(candidate.ref)
    return plan


@dataclass(slots=True)
class _Match:
    """An object with the rows under its name: batches, the newest last (ids grow with time)."""

    candidate: Candidate
    file_name: str
    batches: list["_Batch"]

    def is_equal(self, zone: tzinfo | None) -> bool | None:
        """Whether the date of the newest rows is that of the object; None where it names no second, or is earlier."""
        modified_at = self.candidate.version.modified_at
        written = read_date(self.batches[-1].file_date, zone)
        if modified_at is None or written is None or written.latest - written.earliest > 1:
            return None
        if written.latest <= math.floor(modified_at):
            return None
        return written.earliest <= modified_at < written.latest


def _match(
    plan: AdoptionPlan, files: dict[str, list["_Batch"]], candidates: Sequence[Candidate]
) -> dict[ObjectRef, _Match]:
    """Objects whose rows stand under one name that is theirs alone; what is left is noted in the plan."""
    finder = _Finder(candidates)
    names: dict[ObjectRef, list[str]] = defaultdict(list)
    for file_name, batches in files.items():
        refs = [each.ref for each in finder.find(file_name)]
        if len(refs) == 1:
            names[refs[0]].append(file_name)
        else:
            plan.left.append(Left(Why.AMBIGUOUS if refs else Why.ORPHAN, file_name, _count(batches), tuple(refs)))
    matched: dict[ObjectRef, _Match] = {}
    for candidate in candidates:
        ref, spellings = candidate.ref, names.get(candidate.ref, [])
        exact = spellings if len(spellings) == 1 else [each for each in spellings if each in (ref.key, ref.file_name)]
        if len(exact) == 1:
            batches = sorted(files[exact[0]], key=lambda batch: batch.ids[-1])
            matched[ref] = _Match(candidate, exact[0], batches)
            others = [Left(Why.ORPHAN, each, _count(files[each])) for each in spellings if each != exact[0]]
        else:
            others = [Left(Why.UNSURE, each, _count(files[each]), (ref,)) for each in spellings]
        plan.left += others
    return matched


def _dates_of(matched: Iterable[_Match], zone: tzinfo | None) -> Dates:
    found = Counter(each.is_equal(zone) for each in matched)
    return Dates.MODIFIED if found[True] > found[False] else Dates.INDEXED


def _judge(plan: AdoptionPlan, match: _Match, zone: tzinfo | None) -> None:
    candidate, newest = match.candidate, match.batches[-1]
    total = _count(match.batches)
    why = None if plan.dates is Dates.IGNORED else _doubt(match, plan.dates, zone)
    if why is not None:
        plan.left.append(Left(why, match.file_name, total, (candidate.ref,)))
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
        """The objects that are meant; an event's key may have been stored as it came, with %20 or %ED%95%9C in it."""
        decoded = unquote_plus(file_name) if "%" in file_name else file_name
        for spelling in dict.fromkeys((file_name, decoded)):
            composed = _composed(spelling)
            if found := self._by_key.get(composed) or self._by_name.get(composed):
                exact = [each for each in found if spelling in (each.ref.key, each.ref.file_name)]
                return exact or found
        return []


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _doubt(match: _Match, dates: Dates, zone: tzinfo | None) -> Why | None:
    """Why the newest rows of a file may not be taken for its object; None where they are right."""
    newest, modified_at = match.batches[-1], match.candidate.version.modified_at
    written = read_date(newest.file_date, zone)
    if modified_at is None or written is None:
        return Why.UNSURE
    if written.latest <= math.floor(modified_at):
        return Why.STALE
    if any(_is_in_the_way(batch, newest, zone) for batch in match.batches[:-1]):
        return Why.UNSURE
    if dates is Dates.MODIFIED:
        return None if match.is_equal(zone) else Why.UNSURE
    return None if written.earliest >= math.floor(modified_at) else Why.UNSURE


def _is_in_the_way(older: "_Batch", newest: "_Batch", zone: tzinfo | None) -> bool:
    """True where rows that were written before may be the right ones, or belong to the same version.

    Their date says later, or nothing; or they were written within the hour, and hold texts that the newest do not: so
    may parts of one version, each with the time of its request.
    """
    before, after = read_date(older.file_date, zone), read_date(newest.file_date, zone)
    if before is None or after is None or before.earliest > after.latest:
        return True
    return after.earliest - before.earliest < _HOUR_S and not set(older.digests) <= set(newest.digests)


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
