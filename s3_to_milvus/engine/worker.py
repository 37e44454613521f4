"""One worker: claims a batch of objects, makes their rows together, resolves them together.

`Worker.step` is plain sequential code, so that a simulation can own every call it makes to the outside.
"""

from collections.abc import Callable, Iterator
from contextlib import closing

from s3_to_milvus.domain.documents import Chunk
from s3_to_milvus.domain.objects import ObjectVersion
from s3_to_milvus.domain.planning import Reason, Remove, Replace, Skip
from s3_to_milvus.domain.records import Claim
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.draft import Draft
from s3_to_milvus.engine.gate import ByteGate
from s3_to_milvus.engine.ingest import Ingest
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.load import Load
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.reconcile import Reconciler
from s3_to_milvus.engine.resolve import Resolver
from s3_to_milvus.errors import FatalError, ParserCrashed
from s3_to_milvus.ports import Content

__all__ = ["Worker"]


class Worker:
    """Works on behalf of ``owner``. One thread at a time may call `step`."""

    def __init__(
        self, parts: Parts, collections: Collections, leases: Leases, gate: ByteGate, resolver: Resolver, owner: str
    ) -> None:
        self._parts = parts
        self._leases = leases
        self._gate = gate
        self._owner = owner
        self._reconciler = Reconciler(parts, collections)
        self._ingest = Ingest(parts, collections)
        self._load = Load(parts, leases)
        self._resolver = resolver
        self._held_bytes = 0

    def step(self, should_stop: Callable[[], bool] = lambda: False, on_more: Callable[[], None] = lambda: None) -> int:
        """Claim what is due, work on it, resolve it. How many objects were claimed; 0: nothing is due.

        ``on_more`` is called when there is work that this worker does not take. Raises `FatalError` after handing
        back what it held: nothing will work until somebody acts.
        """
        config = self._parts.config
        now = self._parts.clock.now()
        claims = self._parts.ledger.claim(self._owner, config.claim_batch, now, config.lease_s)
        if not claims:
            return 0
        self._leases.hold(claims)
        if len(claims) == config.claim_batch:
            on_more()
        try:
            if self._work_all(self._alone_if_deadly(claims), should_stop):
                on_more()
        finally:
            self._give_back_bytes()
            self._leases.drop(claims)
        return len(claims)

    def _alone_if_deadly(self, claims: list[Claim]) -> list[Claim]:
        """An object whose worker died is worked on alone, so that its neighbours are not blamed with it."""
        deadly = next((claim for claim in claims if claim.deaths), None)
        if deadly is None or len(claims) == 1:
            return claims
        self._hand_back([claim for claim in claims if claim is not deadly])
        return [deadly]

    def _work_all(self, claims: list[Claim], should_stop: Callable[[], bool]) -> bool:
        """True when some claims were handed back for others."""
        clock = self._parts.clock
        started = clock.now()
        for place, claim in enumerate(claims):
            try:
                self._work(claim)
            except FatalError as error:
                self._resolver.fail(claim, error)
                self._finish()
                self._hand_back(claims[place + 1 :])
                raise
            except Exception as error:  # noqa: BLE001 - the resolver decides by the error's family
                self._resolver.fail(claim, error)
            rest = claims[place + 1 :]
            if rest and (should_stop() or clock.now() - started > self._parts.config.slow_s):
                # Others may be idle: what was not begun goes back, what is ready becomes true now.
                self._hand_back(rest)
                self._finish()
                return True
        self._finish()
        return False

    def _work(self, claim: Claim) -> None:
        look = self._reconciler.look(claim)
        if isinstance(look.plan, Skip):
            self._resolver.skip(claim, look.plan.reason)
        elif isinstance(look.plan, Remove):
            self._resolver.remove(claim, look.plan.reason)
        elif look.content is not None and look.label is not None:
            with closing(look.content):
                if claim.deaths >= self._parts.config.retry.deaths:
                    self._bury_deadly(claim, look.content.version)
                else:
                    self._replace(claim, look.plan, look.content, look.label)

    def _replace(self, claim: Claim, plan: Replace, content: Content, label: str) -> None:
        is_forced = plan.reason is Reason.ROWS_MISSING or claim.is_retry
        draft = self._ingest.open(claim, content, label, is_forced=is_forced)
        self._take_bytes(min(content.version.size_bytes, self._parts.config.inline_bytes))
        chunks = self._ingest.read(draft, content, label)
        try:
            self._fill(draft, chunks)
        except Exception as error:  # noqa: BLE001 - the resolver decides by the error's family
            draft.error = draft.error or error
        finally:
            chunks.close()  # type: ignore[attr-defined] # a generator: its scratch files go now
        self._resolver.finish_draft(draft, plan.reason)
        if draft.error is not None:
            self._load.discard(draft)

    def _fill(self, draft: Draft, chunks: Iterator[Chunk]) -> None:
        for chunk in chunks:
            self._load.add(draft, chunk)
            if self._load.is_full:
                self._load.flush()
                if draft.error is not None:
                    return

    def _bury_deadly(self, claim: Claim, version: ObjectVersion) -> None:
        error = ParserCrashed(f"The service died {claim.deaths} times while it worked on this file.")
        self._resolver.fail(claim, error, version=version)

    def _finish(self) -> None:
        self._load.flush()
        self._resolver.resolve()
        self._give_back_bytes()

    def _hand_back(self, claims: list[Claim]) -> None:
        if claims:
            self._parts.ledger.release(claims, self._parts.clock.now())
            self._leases.drop(claims)

    def _take_bytes(self, size_bytes: int) -> None:
        if not self._gate.try_take(size_bytes):
            self._finish()
            self._gate.take(size_bytes)
        self._held_bytes += size_bytes

    def _give_back_bytes(self) -> None:
        self._gate.give(self._held_bytes)
        self._held_bytes = 0
