"""What a row of the table says, and the marker by which it is found again: pure facts, nothing is sent here.

A marker is made of the entry alone, so that a delivery that is repeated, even by another process, makes the same one.
Ids start anew with a new ledger, so a marker also holds a hash of the job.
"""

import hashlib
import re
from dataclasses import dataclass

from s3_to_milvus.domain.records import JournalEntry

__all__ = ["Row", "age_of", "file_row", "finished_at", "hash_of", "is_newer", "job_hash", "job_row"]

_COUNT = re.compile(r"=(\d{1,18})")  # a person may have written anything there
_FILE = re.compile(r"(\d{1,18})-(\d{1,18})$")


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


def job_row(entry: JournalEntry) -> Row:
    """The row of one job; its marker is its prefix."""
    marker = f"{entry.id}-{job_hash(entry)}"
    return _row(entry, marker, marker)


def file_row(entry: JournalEntry) -> Row:
    """The row of a file, as its newest job left it."""
    prefix = f"file-{hash_of(*_name(entry))}-"
    return _row(entry, prefix, f"{prefix}{int(finished_at(entry) * 1_000)}-{entry.id}")


def is_newer(row: Row, marker: str) -> bool:
    """Whether a file's row tells of a later job than the marker that stands."""
    return age_of(row.marker) > age_of(marker)


def age_of(marker: str) -> tuple[int, int]:
    """Orders the markers of one row: those of a file by its job, those of an hour by how much they count."""
    if marker.startswith("hour-"):
        return sum(map(int, _COUNT.findall(marker))), 0
    found = _FILE.search(marker)
    return (int(found[1]), int(found[2])) if found else (-1, -1)


def finished_at(entry: JournalEntry) -> float:
    """When its job ended, in epoch seconds."""
    return entry.started_at + entry.elapsed_s


def job_hash(entry: JournalEntry) -> str:
    """16 hex digits that no other job has, whichever ledger its id is from."""
    return hash_of(str(entry.id), *_name(entry), entry.action, repr(entry.started_at))


def hash_of(*parts: str) -> str:
    """16 hex digits for some texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


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
