"""Planted defects of how the two stores are kept one truth: the simulation with disasters must find every one."""

from collections.abc import Collection, Sequence
from typing import Any

from s3_to_milvus.domain.rows import CollectionSpec, IdRanges, RowSet, StoredRow
from s3_to_milvus.engine.integrity import IntegrityMonitor
from tests.fault.simulation.mutants import Mutant, Proxy
from tests.fault.simulation.world import World

__all__ = ["LOSSY_MUTANTS", "delete_by_id", "read_by_id"]


def _vectors(proxy: type[Proxy]) -> Mutant:
    def mutate(world: World) -> None:
        world.vectors_port = proxy(world.vectors)

    return mutate


def _ledger(proxy: type[Proxy]) -> Mutant:
    def mutate(world: World) -> None:
        world.ledger_port = proxy(world.ledger)

    return mutate


class _LowIds(Proxy):
    """A store that lost data gives ids again that the ledger knows."""

    def ensure(self, spec: CollectionSpec, after_id: int = 0) -> None:
        self._inner.ensure(spec)


class _DeleteById(_LowIds):
    """Deletes by id alone."""

    def delete(self, collection: str, rows: Sequence[RowSet]) -> None:
        stored = self._inner.rows(collection)
        owners = [
            RowSet(stored[row_id].object_id, stored[row_id].run, IdRanges.of([row_id]))
            for each in rows
            for row_id in each.ids
            if row_id in stored
        ]
        self._inner.delete(collection, owners)


class _FetchById(_LowIds):
    """Reads back by id alone."""

    def fetch(self, collection: str, rows: RowSet, *, with_vectors: bool = False) -> list[StoredRow]:
        stored = self._inner.rows(collection)
        owners = {(stored[each].object_id, stored[each].run) for each in rows.ids if each in stored}
        sets = [RowSet(object_id, run, rows.ids) for object_id, run in owners]
        return [row for each in sets for row in self._inner.fetch(collection, each, with_vectors=with_vectors)]


class _NoSync(Proxy):
    """The log is not brought to the disk before the commit."""

    def sync(self, collections: Collection[str]) -> None:
        pass


class _World(Proxy):
    """A vector store that looks into the ledger, as no store can."""

    def __init__(self, world: World) -> None:
        super().__init__(world.vectors)
        self._world = world


class _NoCount(_World):
    """Row counts are believed to be what they should be."""

    def count(self, collection: str, after_id: int = -1) -> int:
        if after_id >= 0:
            return int(self._inner.count(collection, after_id))
        return sum(each.chunks for each in self._world.ledger.collections() if each.spec.name == collection)


class _RunsAgain(Proxy):
    """A ledger that was put back gives runs a second time."""

    def raise_runs(self, least: int) -> None:
        pass


class _MarksNothing(Proxy):
    """What differs is found, and nothing is done."""

    def suspect(self, refs: Any, now: float) -> int:
        return 0


class _Unfinished(IntegrityMonitor):
    """Rows that nobody knows are left."""

    def _delete_strangers(self, name: str, strangers: set[tuple[str, int]]) -> int:
        return 0


def leave_strangers(world: World) -> None:
    """Rows of objects that are gone from everywhere stay."""
    world.make_monitor = _Unfinished  # type: ignore[attr-defined] # of a `DisasterWorld`


def never_compare(world: World) -> None:
    """Scans alone."""
    world.make_monitor = _Idle  # type: ignore[attr-defined] # of a `DisasterWorld`


class _Idle(IntegrityMonitor):
    def look(self) -> int:
        return 0

    def tick(self) -> int:
        return 0


def _looking(proxy: type[_World]) -> Mutant:
    def mutate(world: World) -> None:
        world.vectors_port = proxy(world)

    return mutate


delete_by_id, read_by_id = _vectors(_DeleteById), _vectors(_FetchById)
"""Both with ids that are given twice. What compares the stores heals what they do: a story of its own finds them."""

LOSSY_MUTANTS: dict[str, Mutant] = {
    "commit before the log is on the disk": _vectors(_NoSync),
    "rows are not counted": _looking(_NoCount),
    "runs are given twice": _ledger(_RunsAgain),
    "differences are not marked": _ledger(_MarksNothing),
    "rows of unknown objects stay": leave_strangers,
    "the stores are never compared": never_compare,
}
