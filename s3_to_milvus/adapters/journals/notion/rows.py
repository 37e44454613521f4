"""What a row of the table says, and the marker by which it is found again: pure facts, nothing is sent here.

A marker is made of the entry alone, so that a delivery that is repeated, even by another process, makes the same one.
Ids start anew with a new ledger, so a marker also holds a hash of the job. The marker of an hour lists which ids it
counts: adding an entry twice changes nothing.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from s3_to_milvus.domain.records import JournalEntry

__all__ = ["Row", "Tally", "file_row", "hour_of", "is_newer", "job_row"]

_HOUR_S = 3_600
_FILE = re.compile(r"(\d+)-(\d+)$")
_ORDER = ("indexed", "removed", "empty", "failed")


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``prefix`` finds it, ``marker`` starts with it. ``full_title`` also names the bucket.

    ``at`` in epoch seconds; ``elapsed_s`` None: it has none.
    """

    prefix: str
    marker: str
    title: str
    full_title: str
    bucket: str
    action: str
    outcome: str
    at: float
    elapsed_s: float | None = None
    message: str = ""


@dataclass
class Tally:
    """Which entries of an hour and bucket are counted, and how often each outcome is among them."""

    prefix: str
    bucket: str
    hour: int
    ids: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def read(self, marker: str) -> None:
        """Take over what a row's marker says; one that a person has changed says nothing."""
        ranges, _, counts = marker.removeprefix(self.prefix).partition(";")
        try:
            self.ids = set(_numbers(ranges))
            self.counts = Counter({name: int(count) for name, count in _pairs(counts)})
        except ValueError:
            self.ids, self.counts = set(), Counter()

    def add(self, entry: JournalEntry) -> None:
        """Count an entry, once."""
        if entry.id not in self.ids:
            self.ids.add(entry.id)
            self.counts[entry.outcome] += 1

    def row(self) -> Row:
        """The row as it should stand now."""
        counts = ";".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        total = sum(self.counts.values())
        title = f"{total} job{'' if total == 1 else 's'}: {_told(self.counts)}"
        outcome = "failed" if self.counts["failed"] else "indexed"
        marker = f"{self.prefix}{_ranges(self.ids)};{counts}"
        full_title = f"{self.bucket}: {title}"
        return Row(self.prefix, marker, title, full_title, self.bucket, "summary", outcome, self.hour * _HOUR_S)


def job_row(entry: JournalEntry) -> Row:
    """The row of one job; its marker is its prefix."""
    marker = f"{entry.id}-{_hash(str(entry.id), *_name(entry), entry.action, repr(entry.started_at))}"
    return _row(entry, marker, marker)


def file_row(entry: JournalEntry) -> Row:
    """The row of a file, as its newest job left it."""
    prefix = f"file-{_hash(*_name(entry))}-"
    return _row(entry, prefix, f"{prefix}{int(_finished(entry) * 1_000)}-{entry.id}")


def is_newer(row: Row, marker: str) -> bool:
    """Whether a file's row tells of a later job than the marker that stands."""
    return _when(row.marker) > _when(marker)


def hour_of(entry: JournalEntry) -> Tally:
    """The empty tally that an entry belongs to: its bucket and the hour (UTC) in which it ended."""
    hour = int(_finished(entry) // _HOUR_S)
    return Tally(f"hour-{hour}-{_hash(entry.ref.bucket)}-", entry.ref.bucket, hour)


def _row(entry: JournalEntry, prefix: str, marker: str) -> Row:
    return Row(
        prefix=prefix,
        marker=marker,
        title=entry.ref.key,
        full_title=f"{entry.ref.bucket}/{entry.ref.key}",
        bucket=entry.ref.bucket,
        action=entry.action,
        outcome=entry.outcome,
        at=entry.started_at,
        elapsed_s=entry.elapsed_s,
        message=entry.message,
    )


def _name(entry: JournalEntry) -> tuple[str, str]:
    return entry.ref.bucket, entry.ref.key


def _finished(entry: JournalEntry) -> float:
    return entry.started_at + entry.elapsed_s


def _when(marker: str) -> tuple[int, int]:
    found = _FILE.search(marker)
    return (int(found[1]), int(found[2])) if found else (-1, -1)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _told(counts: Mapping[str, int]) -> str:
    names = [*_ORDER, *sorted(set(counts) - set(_ORDER))]
    return ", ".join(f"{counts[name]} {name}" for name in names if counts.get(name))


def _ranges(ids: Iterable[int]) -> str:
    """Numbers as ``1-40,43``."""
    found: list[list[int]] = []
    for number in sorted(ids):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _numbers(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, text.split(";")):
        name, _, count = part.partition("=")
        yield name, count
