"""The decision: what the bucket holds now against what the ledger says is indexed."""

from dataclasses import dataclass
from enum import StrEnum

from s3_to_milvus.domain.objects import ObjectVersion
from s3_to_milvus.domain.records import Outcome, Record

__all__ = ["Absent", "Observation", "Plan", "Present", "Reason", "Remove", "Replace", "Skip", "plan", "version_to_skip"]


class Reason(StrEnum):
    """Why a plan is what it is, for the timeline."""

    NEW = "new"
    CONTENT_CHANGED = "content_changed"
    RECIPE_CHANGED = "recipe_changed"
    MOVED = "moved"
    RETRIED = "retried"
    UNCHANGED = "unchanged"
    ROWS_MISSING = "rows_missing"
    NEVER_SEEN = "never_seen"
    GONE = "gone"
    NOT_ROUTED = "not_routed"


@dataclass(frozen=True, slots=True)
class Absent:
    """The store says: no such key (in a bucket that exists)."""


@dataclass(frozen=True, slots=True)
class Present:
    """The store holds this version."""

    version: ObjectVersion


Observation = Absent | Present


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do: Milvus is already equal to the bucket."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Replace:
    """Make rows of the version that was seen, then drop those that stand."""

    version: ObjectVersion
    reason: Reason


@dataclass(frozen=True, slots=True)
class Remove:
    """Drop the rows that stand, and forget the object."""

    reason: Reason


Plan = Skip | Replace | Remove


def version_to_skip(record: Record | None, recipe: str, collection: str, *, is_retry: bool) -> ObjectVersion | None:
    """The version that need not be read again: what the record was made of, if the recipe still holds.

    ``collection`` is where the rows would go today; ``is_retry``: a person asked for another try.
    """
    if is_retry or record is None or record.recipe != recipe:
        return None
    if record.outcome is Outcome.INDEXED and record.collection != collection:
        return None
    return record.version


def plan(
    seen: Observation,
    record: Record | None,
    recipe: str | None,
    collection: str,
    *,
    is_retry: bool = False,
    are_rows_missing: bool = False,
) -> Plan:
    """Decide from what is, never from what an event said.

    ``recipe`` None: the object stands on no route, so it must have no rows. ``are_rows_missing``: not all rows that
    the record names are in Milvus.
    """
    if isinstance(seen, Absent):
        return Remove(Reason.GONE) if record else Skip(Reason.NEVER_SEEN)
    if recipe is None:
        return Remove(Reason.NOT_ROUTED) if record else Skip(Reason.NOT_ROUTED)
    if record is None:
        return Replace(seen.version, Reason.NEW)
    if are_rows_missing:
        return Replace(seen.version, Reason.ROWS_MISSING)
    if not seen.version.is_same_as(record.version):
        return Replace(seen.version, Reason.CONTENT_CHANGED)
    if version_to_skip(record, recipe, collection, is_retry=is_retry) is not None:
        return Skip(Reason.UNCHANGED)
    if record.recipe != recipe:
        return Replace(seen.version, Reason.RECIPE_CHANGED)
    return Replace(seen.version, Reason.RETRIED if record.outcome is Outcome.FAILED else Reason.MOVED)
