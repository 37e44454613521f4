"""One worker: claims a batch of objects, makes their rows together, resolves them together.

`Worker.step` is plain sequential code, so that a simulation can own every call it makes to the outside.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from s3_to_milvus.domain.documents import Chunk
from s3_to_milvus.domain.planning import Reason, Remove, Replace, Skip
from s3_to_milvus.domain.records import Claim, Failure, RunStats
from s3_to_milvus.domain.retrying import is_for_all
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.draft import Draft
from s3_to_milvus.engine.gate import ByteGate
from s3_to_milvus.engine.ingest import Ingest
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.load import Load
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.reconcile import Reconciler
from s3_to_milvus.engine.resolve import Resolver
from s3_to_milvus.engine.suspects import Suspects, Wait
from s3_to_milvus.ports import Content

__all__ = ["Worker"]

_CUT_OFF = Failure("interrupted", "The ledger or Milvus did not take the result; it is tried again.")


class Worker:
    """Works on behalf of ``owner``. One thread at a time may call `step`; another one may `relieve` it meanwhile."""

    def __init__(
        self,
        parts: Parts,
        collections: Collections,
        leases: Leases,
        gate: ByteGate,
        resolver: Resolver,
        owner: str,
        suspects: Suspects | None = None,
    ) -> None:
        """``suspects`` is shared by the workers of a process; None: this is the only one."""
        self._suspects = suspects or Suspects(parts.clock, parts.config.retry)
        self._parts = parts
        self._leases = leases
        self._gate = gate
        self._owner = owner
        self._reconciler = Reconciler(parts, collections)
        self._ingest = Ingest(parts, collections)
        self._load = Load(parts, leases)
        self._resolver = resolver
        # Around what is ready and what was not begun. Never held while a document is looked at, read or parsed.
        self._lock = threading.RLock()
        self._rest: deque[Claim] = deque()
        self._drafts: dict[int, Draft] = {}
        self._begun = math.inf
        self._is_relieved = False
        self._held_bytes = 0
        self._bytes_in_work = 0
        # What may still be held in the ledger, since it did not take our last word.
        self._stranded: list[Claim] = []
        self._is_cut_off = False

    def step(self, should_stop: Callable[[], bool] = lambda: False, on_more: Callable[[], None] = lambda: None) -> int:
        """Claim what is due, work on it, resolve it. How many objects were claimed; 0: nothing is due.

        ``on_more`` is called when there is work that this worker does not take. Raises `FatalError` after handing
        back what it held: nothing will work until somebody acts.
        """
        config = self._parts.config
        self._give_back_stranded()
        now = self._parts.clock.now()
        claims = self._parts.ledger.claim(self._owner, config.claim_batch, now, config.lease_s)
        if not claims:
            return 0
        self._leases.hold(claims)
        if len(claims) == config.claim_batch or claims[0].deaths:
            on_more()
        try:
            if self._work_all(claims, should_stop):
                on_more()
        except Exception:
            self._is_cut_off = True
            raise
        finally:
            if self._is_cut_off:
                self._stranded, self._is_cut_off = claims, False
            self._suspects.release(claims)
            self._give_back_bytes()
            self._leases.drop(claims)
            self._drafts.clear()
        return len(claims)

    def _give_back_stranded(self) -> None:
        """The ledger takes writes again: nobody waits until leases run out. What was resolved is not ours any more."""
        now = self._parts.clock.now()
        while self._stranded:
            self._parts.ledger.retry(self._stranded[-1], _CUT_OFF, now, now, is_unclean=True, is_charged=False)
            self._stranded.pop()

    def stats_of(self, claim: Claim) -> RunStats | None:
        """What a claim that is in work has cost so far; None: it is not in work here. Any thread may ask."""
        draft = self._drafts.get(claim.run)
        return None if draft is None else draft.stats

    def relieve(self) -> bool:
        """Where one document takes long, nobody waits for it: what is ready becomes true, what was not begun goes back.

        True when something went back. Raises as `step`.
        """
        if not self._is_slow() or not self._lock.acquire(blocking=False):
            return False
        try:
            if not self._is_slow():
                return False
            self._begun = math.inf
            self._is_relieved = bool(self._rest)
            self._hand_back_rest()
            self._load.flush()
            self._resolver.resolve()
            self._give_back_bytes(self._bytes_in_work)
            return self._is_relieved
        except Exception:
            self._is_cut_off = True
            raise
        finally:
            self._lock.release()

    def _is_slow(self) -> bool:
        return self._parts.clock.now() - self._begun > self._parts.config.slow_s

    def _work_all(self, claims: Sequence[Claim], should_stop: Callable[[], bool]) -> bool:
        """True when some claims were handed back for others."""
        clock = self._parts.clock
        started = clock.now()
        self._is_relieved = False
        self._rest = deque(claims)
        while (claim := self._next()) is not None:
            try:
                self._work(claim)
            except Exception as error:
                self._fail(claim, error)
                if is_for_all(error):
                    self._hand_back_rest()
                    self._finish()
                    raise
            if self._rest and (should_stop() or clock.now() - started > self._parts.config.slow_s):
                # Others may be idle: what was not begun goes back, what is ready becomes true now.
                self._is_relieved = True
                self._hand_back_rest()
        self._finish()
        return self._is_relieved

    def _next(self) -> Claim | None:
        with self._lock:
            self._bytes_in_work = 0
            self._begun = self._parts.clock.now() if self._rest else math.inf
            return self._rest.popleft() if self._rest else None

    def _work(self, claim: Claim) -> None:
        look = self._reconciler.look(claim)
        if isinstance(look.plan, Skip):
            with self._lock:
                self._resolver.skip(claim, look.plan.reason)
        elif isinstance(look.plan, Remove):
            with self._lock:
                self._resolver.remove(claim, look.plan.reason)
        elif look.content is not None and look.label is not None:
            with closing(look.content):
                wait = self._suspects.wait_of(claim)
                if wait is None and not self._is_lost(claim):
                    self._replace(claim, look.plan, look.content, look.label)
                elif wait is not None:
                    self._put_off(claim, wait)

    def _replace(self, claim: Claim, plan: Replace, content: Content, label: str) -> None:
        is_forced = plan.reason is Reason.ROWS_MISSING or claim.is_retry
        draft = self._drafts[claim.run] = self._ingest.open(claim, content, label, is_forced=is_forced)
        draft.are_rows_missing = plan.reason is Reason.ROWS_MISSING
        self._take_bytes(min(content.version.size_bytes, self._parts.config.inline_bytes))
        chunks = self._ingest.read(draft, content, label)
        try:
            self._fill(draft, chunks)
        except Exception as error:  # noqa: BLE001 - the resolver decides by the error's family
            draft.error = draft.error or error
        finally:
            chunks.close()  # type: ignore[attr-defined] # a generator: its scratch files go now
        with self._lock:
            self._resolver.finish_draft(draft, plan.reason)
            if draft.error is not None:
                self._load.discard(draft)
            if is_for_all(draft.error):
                self._hand_back_rest()  # it would fail likewise

    def _fill(self, draft: Draft, chunks: Iterator[Chunk]) -> None:
        for chunk in chunks:
            with self._lock:
                self._load.add(draft, chunk)
                if self._load.is_full:
                    self._load.flush()
                    if draft.error is not None:
                        return

    def _is_lost(self, claim: Claim) -> bool:
        """Leave a note that an object with deaths is read now; True where it is not ours any more."""
        return claim.deaths > 0 and not self._parts.ledger.begin(claim)

    def _put_off(self, claim: Claim, wait: Wait) -> None:
        with self._lock:
            self._resolver.put_off(claim, self._suspects.reason(claim), wait)

    def _fail(self, claim: Claim, error: Exception) -> None:
        with self._lock:
            self._resolver.fail(claim, error)

    def _finish(self) -> None:
        with self._lock:
            self._load.flush()
            self._resolver.resolve()
            self._give_back_bytes()

    def _hand_back_rest(self) -> None:
        with self._lock:
            rest, self._rest = list(self._rest), deque()
            self._hand_back(rest)

    def _hand_back(self, claims: list[Claim]) -> None:
        if claims:
            self._parts.ledger.release(claims, self._parts.clock.now())
            self._leases.drop(claims)

    def _take_bytes(self, size_bytes: int) -> None:
        if not self._gate.try_take(size_bytes):
            self._finish()
            self._gate.take(size_bytes)
        with self._lock:
            self._held_bytes += size_bytes
            self._bytes_in_work = size_bytes

    def _give_back_bytes(self, but: int = 0) -> None:
        with self._lock:
            self._gate.give(self._held_bytes - but)
            self._held_bytes = but
