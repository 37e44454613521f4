"""What the rows say that count jobs: for each hour and bucket how many, and by their marker which.

The marker names the entries, so that adding one twice changes nothing. Ids start anew with every ledger, so the hash in
the prefix is also one of the ledger. A job that failed is named by a hash of itself: it is never taken for another one.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from s3_to_milvus.adapters.journals.notion.rows import Row, finished_at, hash_of, job_hash
from s3_to_milvus.domain.records import JournalEntry

__all__ = ["Numbers", "Tally", "hour_of"]

_HOUR_S = 3_600
_ORDER = ("indexed", "removed", "empty", "failed")
_FULL = 3_000  # pieces of a marker: about 20 of the 100 parts that a text may have, and never all of them
_FAILED = "x"


class Numbers:
    """A set of whole numbers, kept and told as the ranges that it is made of: ``1-40,43``."""

    def __init__(self, text: str = "") -> None:
        """Raises `ValueError` for a text that it would not tell."""
        self._ranges: list[tuple[int, int]] = []
        for part in filter(None, text.split(",")):
            first, _, last = part.partition("-")
            self._ranges.append((int(first), int(last or first)))
        ends = [end for each in self._ranges for end in each]
        if ends != sorted(ends):
            raise ValueError("no ascending ranges")

    def __contains__(self, number: int) -> bool:
        place = self._place(number)
        return place > 0 and number <= self._ranges[place - 1][1]

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._ranges)

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self._ranges)

    def add(self, number: int) -> None:
        """Take a number in; again: nothing changes."""
        if number in self:
            return
        start = end = self._place(number)
        first = last = number
        if start > 0 and self._ranges[start - 1][1] == number - 1:
            start -= 1
            first = self._ranges[start][0]
        if end < len(self._ranges) and self._ranges[end][0] == number + 1:
            last = self._ranges[end][1]
            end += 1
        self._ranges[start:end] = [(first, last)]

    def _place(self, number: int) -> int:
        """Of the first range that begins behind it."""
        return bisect_right(self._ranges, number, key=lambda each: each[0])


@dataclass
class Tally:
    """One row: which jobs of an hour and bucket it counts, and how often each outcome is among them.

    ``part``: from 1; an hour whose ids lie so scattered that one row cannot name them has several.
    """

    hour: int
    bucket: str
    name: str
    part: int = 1
    ids: Numbers = field(default_factory=Numbers)
    failed: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def prefix(self) -> str:
        """By which the row is found."""
        return f"hour-{self.name}-{self.part}-"

    @property
    def first_prefix(self) -> str:
        """The prefix of the first part."""
        return f"hour-{self.name}-1-"

    @property
    def is_full(self) -> bool:
        """Whether what it does not count yet belongs into the next part."""
        return len(self.ids) + len(self.failed) >= _FULL

    def next(self) -> "Tally":
        """The empty tally of the part behind this one."""
        return Tally(self.hour, self.bucket, self.name, self.part + 1)

    def read(self, marker: str) -> None:
        """Take over what a row's marker says; one that a person has changed says nothing."""
        counts, _, pieces = marker.removeprefix(self.prefix).rpartition(";")
        each = pieces.split(",")
        try:
            self.ids = Numbers(",".join(piece for piece in each if not piece.startswith(_FAILED)))
            self.counts = Counter({name: int(count) for name, count in _pairs(counts)})
            self.failed = {piece for piece in each if piece.startswith(_FAILED)}
        except ValueError:
            self.ids, self.counts, self.failed = Numbers(), Counter(), set()

    def has(self, entry: JournalEntry) -> bool:
        """Whether it counts an entry."""
        return _failure(entry) in self.failed if entry.outcome == "failed" else entry.id in self.ids

    def add(self, entry: JournalEntry) -> None:
        """Count an entry, once."""
        if self.has(entry):
            return
        if entry.outcome == "failed":
            self.failed.add(_failure(entry))
        else:
            self.ids.add(entry.id)
        self.counts[entry.outcome] += 1

    def row(self) -> Row:
        """The row as it should stand now."""
        counts = ";".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        pieces = ",".join(filter(None, [str(self.ids), *sorted(self.failed)]))
        total = sum(self.counts.values())
        title = f"{total} job{'' if total == 1 else 's'}: {_told(self.counts)}"
        return Row(
            prefix=self.prefix,
            marker=f"{self.prefix}{counts};{pieces}",
            title=title,
            full_title=f"{self.bucket}: {title}",
            bucket=self.bucket,
            action="summary",
            outcome="failed" if self.counts["failed"] else "indexed",
            at=self.hour * _HOUR_S,
        )


def hour_of(entry: JournalEntry, ledger: str) -> Tally:
    """The first tally of an entry of this ledger, empty: of its bucket and the hour (UTC) in which it ended."""
    hour = int(finished_at(entry) // _HOUR_S)
    return Tally(hour, entry.ref.bucket, f"{hour}-{hash_of(ledger, entry.ref.bucket)}")


def _failure(entry: JournalEntry) -> str:
    return f"{_FAILED}{job_hash(entry)[:10]}"


def _told(counts: Mapping[str, int]) -> str:
    names = [*_ORDER, *sorted(set(counts) - set(_ORDER))]
    return ", ".join(f"{counts[name]} {name}" for name in names if counts.get(name))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, text.split(";")):
        name, _, count = part.partition("=")
        yield name, count
