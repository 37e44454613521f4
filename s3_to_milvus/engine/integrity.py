"""Two stores, one truth: notices where Milvus does not hold what the ledger says, and has it made good.

Lost, torn or older data, on either side, shows cheaply: by the mark of the ledger in each collection, by the number of
rows, and at the end of the ids, since ids only grow. A store that is an older copy lacks the newest row that stands;
where it does not, it has every row that stands, and their number tells whether it has more. A ledger that is an older
copy does not know the rows with the greatest ids. Only where one of these speaks up are all rows compared with all
records.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import ObjectState, Record
from s3_to_milvus.domain.rows import IdRanges, RowSet
from s3_to_milvus.engine.observe import log
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.errors import ConfigError, S3ToMilvusError
from s3_to_milvus.ports import CollectionCounts, Ledger, SourceEntry, VectorStore

__all__ = ["Difference", "IntegrityMonitor", "inspect"]

_BATCH = 1_000
_LOOKED_AT = 1_000  # objects under repair about which the ledger is asked at a time
_UNSETTLED = frozenset({ObjectState.WAITING, ObjectState.RUNNING})


@dataclass(frozen=True, slots=True)
class Difference:
    """Why a collection can't be what the ledger describes. ``is_surplus``: it may be rows of work that is under way."""

    what: str
    is_surplus: bool = False
    is_foreign: bool = False


def inspect(
    vectors: VectorStore, ledger: Ledger, counts: CollectionCounts, *, is_first: bool = True
) -> Difference | None:
    """The cheap look at one collection; None: nothing speaks against it.

    To be done before this process writes into it: its first row would hide what is missing. ``is_first``: look for rows
    that are newer than the ledger, too; nobody puts an older ledger in the place of one that is open.
    """
    name = counts.spec.name
    mark = vectors.mark(name)
    if mark and mark != ledger.mark:
        return Difference("another ledger has written into it", is_foreign=True)
    if not mark and counts.is_marked:
        return Difference("it was removed or made anew")
    newest = ledger.newest(name)
    if newest is not None and not vectors.fetch(name, _last_of(newest)):
        return Difference("its newest rows are missing")
    rows = vectors.count(name)
    if rows < counts.chunks:
        return Difference(f"{counts.chunks - rows:,} of {counts.chunks:,} rows are missing")
    if rows > counts.chunks:
        return Difference(f"{rows - counts.chunks:,} rows too many stand in it", is_surplus=True)
    if is_first and vectors.count(name, counts.last_id):
        return Difference("it holds rows that are newer than the ledger", is_surplus=True)
    return None


def _last_of(record: Record) -> RowSet:
    last = record.ids.last
    return RowSet(record.ref.object_id, record.run, IdRanges.of([last]))


@dataclass(slots=True)
class _Repair:
    """Objects of one collection that are being made good."""

    label: str
    what: str
    total: int
    left: set[ObjectRef]
    strangers: int = 0


@dataclass(slots=True)
class _Rows:
    """The rows of one run of one object in Milvus: how many, and the sum of their ids."""

    count: int = 0
    sum: int = 0

    def are(self, ids: IdRanges) -> bool:
        """True when they have just these ids, as far as count and sum can tell."""
        return self.count == len(ids) and self.sum == sum(
            (first + last) * (last - first + 1) // 2 for first, last in ids.ranges
        )


@dataclass(slots=True)
class _Comparison:
    """``suspects``: objects whose rows are missing or too many. ``strangers``: rows of objects nobody knows."""

    suspects: set[ObjectRef] = field(default_factory=set)
    strangers: set[tuple[str, int]] = field(default_factory=set)


class IntegrityMonitor:
    """Looks at every collection at start and with every scan, and at once where the store noticed something itself."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turn = threading.Lock()
        self._repairs: dict[str, _Repair] = {}
        self._closed: dict[str, str] = {}  # collections that can't be opened
        self._owned: set[str] = set()
        self._surplus: set[str] = set()
        self._noticed: dict[str, str] = {}
        self._scanned: list[SourceEntry] = []
        self._compared_at: dict[str, int] = {}  # how many sources were scanned when all rows were compared last
        self._unknown_at = 0  # the same, for collections that the ledger does not know
        self._judged: dict[str, int] = {}  # of these, how many rows they have, once all was decided

    @property
    def warnings(self) -> list[str]:
        """What is being made good, with how far it is, and what can't be."""
        repairs = list(self._repairs.items())
        for _, repair in repairs:
            self._follow(repair)
        return [*self._closed.values(), *(_told(repair) for _, repair in repairs)]

    def scanned(self, source: SourceEntry) -> None:
        """The source was listed to its end: from now on rows of its bucket whose object nobody knows are nobody's."""
        if source not in self._scanned:
            self._scanned.append(source)

    def look(self) -> int:
        """Inspect all collections, and mark what differs; how many objects were marked.

        No collection's trouble is that of the others.
        """
        with self._turn:
            self._take_incidents()
            known = self._parts.ledger.collections()
            marked = sum(self._safely(counts) for counts in known)
            self._look_at_unknown(known)
            return marked

    def tick(self) -> int:
        """What need not wait for the next scan: incidents, comparisons that a scan or the end of work makes possible,
        the progress of repairs. Cheap. As `look`."""
        with self._turn:
            self._take_incidents()
            for name, repair in list(self._repairs.items()):
                self._follow(repair)
                if not repair.left and not repair.strangers:
                    self._noticed.setdefault(name, repair.what)
            known = self._parts.ledger.collections()
            is_idle = bool(self._surplus) and not self._is_busy()
            marked = sum(self._safely(counts) for counts in known if self._is_to_be_seen(counts, is_idle=is_idle))
            self._noticed.clear()
            if self._unknown_at != len(self._scanned):
                self._look_at_unknown(known)
            return marked

    def _is_to_be_seen(self, counts: CollectionCounts, *, is_idle: bool) -> bool:
        name = counts.spec.name
        return name in self._noticed or self._is_unfinished(counts) or (is_idle and name in self._surplus)

    def _is_unfinished(self, counts: CollectionCounts) -> bool:
        """A comparison that was cut off, or that knows more since another source was scanned."""
        return counts.is_suspect and self._compared_at.get(counts.spec.name) != len(self._scanned)

    def _follow(self, repair: _Repair) -> None:
        """Take out what was made good by now."""
        for ref in list(islice(repair.left.copy(), _LOOKED_AT)):
            status = self._parts.ledger.status(ref)
            if status is None or status.state not in _UNSETTLED:
                repair.left.discard(ref)

    def _take_incidents(self) -> None:
        for incident in self._parts.vectors.incidents():
            everywhere = (each.spec.name for each in self._parts.ledger.collections())
            for name in [incident.collection] if incident.collection else everywhere:
                self._noticed[name] = incident.what

    def _safely(self, counts: CollectionCounts) -> int:
        name = counts.spec.name
        try:
            marked = self._look_at(counts)
        except Exception as error:  # noqa: BLE001 - one collection's trouble is not that of the others
            known = error.message if isinstance(error, S3ToMilvusError) else f"unexpected {type(error).__name__}"
            log.warning("collection.not_compared", collection=name, message=known)
            self._closed[name] = f"The collection {counts.spec.label} could not be compared with the ledger: {known}"
            return 0
        self._closed.pop(name, None)
        return marked

    def _look_at(self, counts: CollectionCounts) -> int:
        name = counts.spec.name
        incident = self._noticed.pop(name, "")
        difference = inspect(self._parts.vectors, self._parts.ledger, counts, is_first=name not in self._owned)
        if difference is not None and difference.is_foreign and name in self._owned:
            raise ConfigError(
                f"Another s3-to-milvus has written into the collection {name}.",
                hint="Give each its own collections (routes), database (db_name) or Milvus.",
            )
        if difference is None and not incident and not counts.is_suspect:
            self._owned.add(name)
            self._surplus.discard(name)
            self._end_repair(name)
            return 0
        if difference is None or difference.is_surplus:
            if counts.is_suspect and not incident and not self._is_unfinished(counts):
                return 0  # what is left belongs to sources that were not scanned yet, or to others
            if difference is not None and not incident and not counts.is_suspect and self._is_under_way(name):
                return 0
        return self._compare(counts, incident or (difference.what if difference else "it was not compared to the end"))

    def _is_under_way(self, name: str) -> bool:
        """Rows too many may be those of work: they are looked at again when there is none, or with the next scan."""
        is_new = name not in self._surplus
        self._surplus.add(name)
        return is_new and self._is_busy()

    def _is_busy(self) -> bool:
        found = self._parts.ledger.counts()
        return bool(found.running or found.waiting)

    def _end_repair(self, name: str) -> None:
        repair = self._repairs.get(name)
        if repair is not None:
            self._follow(repair)
        if repair is not None and not repair.left:
            del self._repairs[name]
            log.warning("collection.repaired", collection=name, objects=repair.total)

    def _compare(self, counts: CollectionCounts, what: str) -> int:
        """All rows against all records; what differs is marked. A crash meanwhile: the ledger knows it is not done."""
        name, ledger, vectors = counts.spec.name, self._parts.ledger, self._parts.vectors
        ledger.set_collection(name, is_suspect=True)
        log.warning("collection.differs", collection=name, what=what)
        found = self._differences(name)
        refs = iter(found.suspects)
        while batch := list(islice(refs, _BATCH)):
            ledger.suspect(batch, self._parts.clock.now())
        left = self._delete_strangers(name, found.strangers)
        if vectors.mark(name) != ledger.mark and name in vectors.collections():
            vectors.put_mark(name, ledger.mark)
            ledger.set_collection(name, is_marked=True)
        ledger.set_collection(name, is_suspect=bool(left))
        self._compared_at[name] = len(self._scanned)
        self._surplus.discard(name)
        if found.suspects or left:
            self._repairs[name] = _Repair(counts.spec.label, what, len(found.suspects), found.suspects, left)
        else:
            self._repairs.pop(name, None)
        return len(found.suspects)

    def _differences(self, name: str) -> _Comparison:
        rows: dict[tuple[str, int], _Rows] = {}
        last_run = 0
        for row in self._parts.vectors.identities(name):
            place = rows.setdefault((row.object_id, row.run), _Rows())
            place.count += 1
            place.sum += row.id
            last_run = max(last_run, row.run)
        self._parts.ledger.raise_runs(last_run)
        found = _Comparison()
        for record in self._parts.ledger.records(collection=name):
            stored = rows.pop((record.ref.object_id, record.run), None)
            if stored is None or not stored.are(record.ids):
                found.suspects.add(record.ref)
        for object_id, run in rows:
            ref = self._parts.ledger.find(object_id)
            if ref is not None:
                found.suspects.add(ref)
            else:
                found.strangers.add((object_id, run))
        return found

    def _look_at_unknown(self, known: Sequence[CollectionCounts]) -> None:
        """Collections of a ledger that was lost, into which nothing leads any more: what stands in them is nobody's.

        (The real name behind an alias is looked at, too: its rows stand.)
        """
        if not self._scanned:
            return
        vectors, names = self._parts.vectors, {counts.spec.name for counts in known}
        self._unknown_at = len(self._scanned)
        for name in vectors.collections():
            try:
                if name in names or not vectors.mark(name) or self._judged.get(name) == (rows := vectors.count(name)):
                    continue
                runs = {(row.object_id, row.run) for row in vectors.identities(name)} if rows else set()
                left = self._delete_strangers(name, {each for each in runs if self._is_nobodys(*each)})
                if not left and all(self._stands(*each) or self._is_nobodys(*each) for each in runs):
                    self._judged[name] = vectors.count(name)
            except S3ToMilvusError as error:  # looked at again with the next scan
                log.warning("collection.not_compared", collection=name, message=error.message)

    def _is_nobodys(self, object_id: str, run: int) -> bool:
        ref = self._parts.ledger.find(object_id)
        if ref is None:
            return True
        status = self._parts.ledger.status(ref)
        return status is not None and status.state not in _UNSETTLED and not self._stands(object_id, run)

    def _stands(self, object_id: str, run: int) -> bool:
        standing = self._parts.ledger.standing({object_id}).get(object_id)
        return standing is not None and standing.run == run

    def _delete_strangers(self, name: str, strangers: set[tuple[str, int]]) -> int:
        """Delete rows of objects that neither the ledger nor, after a scan of their source, the bucket knows.

        Returns of how many runs rows stay: their source was not scanned, or they are another service's.
        """
        if not strangers or not self._scanned:
            return len(strangers)
        ids: dict[tuple[str, int], list[int]] = {}
        for row in self._parts.vectors.identities(name):
            if (row.object_id, row.run) in strangers:
                ids.setdefault((row.object_id, row.run), []).append(row.id)
        found = [RowSet(object_id, run, IdRanges.of(own)) for (object_id, run), own in ids.items()]
        unknown = [each for each in found if self._is_nobodys(each.object_id, each.run)]
        doomed = [each for each in unknown if self._is_of_scanned(name, each)]
        if doomed:
            self._parts.vectors.delete(name, doomed)
            log.warning("collection.strangers_deleted", collection=name, rows=sum(len(each.ids) for each in doomed))
        return len(unknown) - len(doomed)

    def _is_of_scanned(self, name: str, rows: RowSet) -> bool:
        """Whether the object would be known, if it were there. A source that is away was not scanned."""
        one = replace(rows, ids=IdRanges.of([rows.ids.last]))
        return any(
            row.bucket == source.name and row.key.startswith(source.prefix)
            for row in self._parts.vectors.fetch(name, one)
            for source in self._scanned
        )


def _told(repair: _Repair) -> str:
    parts = [f"The collection {repair.label} is not what the ledger says: {repair.what}."]
    if repair.total:
        done, rest = repair.total - len(repair.left), "; the others follow by themselves" if repair.left else ""
        parts.append(f"{done:,} of {repair.total:,} documents were made good by now{rest}.")
    if repair.strangers:
        parts.append(f"Rows of {repair.strangers:,} documents stand in it that no scanned source has.")
    return " ".join(parts)
