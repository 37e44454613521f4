"""Planted defects: each is a mistake that somebody could make, and the simulation must find every one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from s3_to_milvus.domain.objects import Lane, ObjectRef, ObjectVersion
from s3_to_milvus.domain.records import Claim, Commit, Failure, Suspicion
from s3_to_milvus.engine.resolve import Resolver
from s3_to_milvus.engine.worker import Worker
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import UNCHANGED
from tests.fault.simulation.world import World

__all__ = ["MUTANTS", "Mutant", "Proxy"]

Mutant = Callable[[World], None]


class Proxy:
    """Everything of the inner port, but for what a mutant spoils."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _ledger(proxy: type[Proxy]) -> Mutant:
    def mutate(world: World) -> None:
        world.ledger_port = proxy(world.ledger)

    return mutate


class _CommitFirst(Worker):
    """Commits before the last rows are inserted."""

    def _finish(self) -> None:
        for each in self._resolver._pending:
            if each.draft is not None:
                each.draft.ids = each.draft.ids or [10**9 + each.claim.run]
        self._resolver.resolve()
        self._load.flush()
        self._give_back_bytes()


def commit_before_insert(world: World) -> None:
    """The record becomes true before its rows are there."""
    world.make_worker = _CommitFirst


class _DeleteFirst(Resolver):
    def _commit(self, ready: list[Any]) -> list[Any]:
        return super()._commit(self._clean_up(ready))


def delete_before_commit(world: World) -> None:
    """Old rows go before the new ones are true."""
    world.make_resolver = _DeleteFirst


class _SettleFirst(Resolver):
    def _clean_up(self, ready: list[Any]) -> list[Any]:
        self._settle(ready)
        return super()._clean_up(ready)


def settle_before_delete(world: World) -> None:
    """The work row goes before the garbage is deleted: after a crash nobody remembers it."""
    world.make_resolver = _SettleFirst


class _KeepOwn(Resolver):
    def _delete_own(self, draft: Any) -> None:
        """Leave the rows of a lost or failed attempt."""


def keep_rows_of_lost_attempts(world: World) -> None:
    """A worker that lost its lease leaves its rows behind."""
    world.make_resolver = _KeepOwn


class _NoSuspicion(Proxy):
    def claim(self, *args: Any) -> list[Claim]:
        return [replace(claim, suspicion=Suspicion.NONE) for claim in self._inner.claim(*args)]


class _NoGarbage(Proxy):
    def claim(self, *args: Any) -> list[Claim]:
        return [replace(claim, garbage=()) for claim in self._inner.claim(*args)]


class _NoFence(Proxy):
    """Commits of claims that are lost are taken all the same."""

    def commit(self, commits: Sequence[Commit], now: float) -> list[bool]:
        answers = self._inner.commit(commits, now)
        for commit, is_ours in zip(commits, answers, strict=True):
            item = self._inner.items.get(commit.claim.ref)
            if not is_ours and item is not None:
                item.record = commit.record
        return [True] * len(commits)


class _AckLatest(Proxy):
    """Settling forgets what was observed meanwhile."""

    def settle(self, claims: Sequence[Claim], now: float, recheck_s: float) -> Any:
        for claim in claims:
            item = self._inner.items.get(claim.ref)
            if item is not None and item.work is not None and item.work.run == claim.run:
                item.work.run_generation = item.work.generation
        return self._inner.settle(claims, now, recheck_s)


class _DropWhileRunning(Proxy):
    """An event that arrives while the object is being worked on is taken for a double."""

    def observe(self, refs: Sequence[ObjectRef], lane: Lane, now: float) -> None:
        free = [ref for ref in refs if not ((item := self._inner.items.get(ref)) and item.work and item.work.run)]
        self._inner.observe(free, lane, now)


class _SkipKnown(Proxy):
    """An event for an object that is indexed already is taken for a double."""

    def observe(self, refs: Sequence[ObjectRef], lane: Lane, now: float) -> None:
        new = [ref for ref in refs if (item := self._inner.items.get(ref)) is None or item.record is None]
        self._inner.observe(new, lane, now)


class _CleanRetry(Proxy):
    """An insert whose end nobody knows counts as clean."""

    def retry(self, claim: Claim, failure: Failure, now: float, due: float, *, is_unclean: bool, **more: Any) -> Any:
        return self._inner.retry(claim, failure, now, due, is_unclean=False, **more)


class _NoRecheck(Proxy):
    """A taken-over object is never looked at again."""

    def settle(self, claims: Sequence[Claim], now: float, recheck_s: float) -> Any:
        for claim in claims:
            item = self._inner.items.get(claim.ref)
            if item is not None and item.work is not None and item.work.run == claim.run:
                item.work.suspicion = Suspicion.NONE
        return self._inner.settle(claims, now, recheck_s)


class _NoLease(Proxy):
    """A claim that is still being worked on can be taken by anybody."""

    def claim(self, owner: str, limit: int, now: float, lease_s: float) -> Any:
        for item in self._inner.items.values():
            if item.work is not None and item.work.run:
                item.work.run, item.work.owner, item.work.due = 0, "", now
        return self._inner.claim(owner, limit, now, lease_s)


class _SameRun(Proxy):
    """Every attempt for an object carries the same run: neither fence nor clean-up can tell them apart."""

    def claim(self, *args: Any) -> list[Claim]:
        claims = self._inner.claim(*args)
        return [replace(claim, run=1) for claim in claims]


class _DeleteAllOthers(Proxy):
    """Clean-up by filter takes every other run, later ones too."""

    def delete_other_runs(self, collection: str, object_id: str, keep_run: int, before_run: int) -> None:
        self._inner.delete_other_runs(collection, object_id, keep_run, 10**12)


def delete_later_runs(world: World) -> None:
    """A late clean-up removes the rows of a newer claim."""
    world.vectors_port = _DeleteAllOthers(world.vectors)


class _ErrorIsAbsence(Proxy):
    """A store that does not answer is taken for one that says: no such key."""

    def __init__(self, inner: Any, world: World) -> None:
        super().__init__(inner)
        self._world = world

    def get(self, *args: Any, **kwargs: Any) -> Any:
        try:
            self._world.fault("get")
        except Unavailable:
            return None
        return self._inner.get(*args, **kwargs)


def error_is_absence(world: World) -> None:
    """An outage removes rows."""
    world.store_port = _ErrorIsAbsence(world.store, world)


class _TrustRecord(Proxy):
    def get(self, ref: ObjectRef, unless: ObjectVersion | None = None) -> Any:
        if unless is not None and self._inner.version_of(ref) is not None:
            return UNCHANGED
        return self._inner.get(ref, unless)


def trust_the_record(world: World) -> None:
    """An object that is indexed is not looked at again."""
    world.store_port = _TrustRecord(world.store)


MUTANTS: dict[str, Mutant] = {
    "commit before insert": commit_before_insert,
    "delete before commit": delete_before_commit,
    "settle before delete": settle_before_delete,
    "keep rows of lost attempts": keep_rows_of_lost_attempts,
    "no suspect rule": _ledger(_NoSuspicion),
    "no garbage": _ledger(_NoGarbage),
    "no fence": _ledger(_NoFence),
    "acknowledge the latest": _ledger(_AckLatest),
    "drop events while running": _ledger(_DropWhileRunning),
    "skip known objects": _ledger(_SkipKnown),
    "unclean retry counts as clean": _ledger(_CleanRetry),
    "no re-check": _ledger(_NoRecheck),
    "no lease": _ledger(_NoLease),
    "one run for all attempts": _ledger(_SameRun),
    "clean-up deletes later runs": delete_later_runs,
    "an error is taken for absence": error_is_absence,
    "trust the record": trust_the_record,
}
