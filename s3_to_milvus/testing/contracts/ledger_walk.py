"""Random walks: a ledger beside the ledger in memory, step by step, compared by all that can be seen."""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import Claim, Commit, Outcome, Run, RunStats
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.ports import Ledger
from s3_to_milvus.testing.contracts.ledger_tools import BROKEN, LEASE_S, RECHECK_S, Desk, T
from s3_to_milvus.testing.fakes.ledger import MemoryLedger

__all__ = ["Walk"]

_STATS = RunStats(1, 1, 1, (("parse", 0.5),), Usage(7, 2, 90))


@dataclass
class Walk:
    """A seeded walk of two ledgers. ``trace`` is what to read when they differ. Buckets are the walk's own."""

    real: Ledger
    seed: int
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = MemoryLedger()
        self.random = random.Random(self.seed)
        self.now = T
        # Claims as (real, model): run ids may differ where the real ledger had a life before.
        self.claims: list[tuple[Claim, Claim]] = []
        self.refs = [ObjectRef(f"bucket{number % 2}", f"키/{number}") for number in range(5)]
        for ledger in (self.real, self.model):
            ledger.add_collection(CollectionSpec("docs", "docs", 8, "hash"))

    def run(self, steps: int) -> None:
        """Walk; an assertion fails where the two ledgers differ."""
        kinds = [
            *(self.observe,) * 6,
            *(self.claim,) * 6,
            *(self.commit,) * 5,
            *(self.settle,) * 5,
            *(self.retry, self.bury, self.release, self.heartbeat, self.put_off, self.begin) * 2,
            *(self.requeue, self.note, self.deliver, self.sleep, self.expire, self.suspect),
            *(self.suspect, self.say),
        ]
        for _ in range(steps):
            self.now += self.random.choice((0.25, 1.0, 1.0, 20.0))
            self.random.choice(kinds)()
            self.compare()

    def both(self, method: str, *args: object, **options: object) -> Any:
        """Call both; their answers must be equal."""
        self.trace.append(f"{method}{args}{options or ''}"[:300])
        real = getattr(self.real, method)(*args, **options)
        model = getattr(self.model, method)(*args, **options)
        assert real == model, self.told()
        return real

    def of_claims(self, method: str, chosen: list[tuple[Claim, Claim]], *args: object, **options: object) -> None:
        """Call both with a list of claims, each ledger with its own."""
        self.trace.append(f"{method} {[claim.run for claim, _ in chosen]} {args} {options or ''}")
        real = getattr(self.real, method)([claim for claim, _ in chosen], *args, **options)
        model = getattr(self.model, method)([claim for _, claim in chosen], *args, **options)
        assert real == model, self.told()

    def told(self) -> str:
        """The way here."""
        return f"seed {self.seed}\n" + "\n".join(self.trace[-40:])

    def some_claims(self, most: int = 3) -> list[tuple[Claim, Claim]]:
        """Claims that were handed out at any time, mostly recent ones."""
        return self.random.sample(self.claims[-6:], min(len(self.claims[-6:]), self.random.randint(1, most)))

    def observe(self) -> None:
        """One ref, doubled at times."""
        ref = self.random.choice(self.refs)
        self.both("observe", [ref] * self.random.choice((1, 1, 2)), self.random.choice(list(Lane)), self.now)

    def requeue(self) -> None:
        """Some, or all that failed."""
        refs = self.random.choice((None, self.random.sample(self.refs, 2)))
        self.both("requeue", refs, self.now)

    def suspect(self) -> None:
        """Some, whatever they do."""
        self.both("suspect", self.random.sample(self.refs, 2), self.now)

    def say(self) -> None:
        """Something of the collection."""
        flags = {name: self.random.choice((None, True, False)) for name in ("is_marked", "is_suspect")}
        self.both("set_collection", "docs", after_id=self.random.randrange(9_000), **flags)

    def claim(self) -> None:
        """The same objects in the same order, with the same story."""
        limit = self.random.randint(1, 3)
        self.trace.append(f"claim({limit}, {self.now})")
        real = self.real.claim("walker", limit, self.now, LEASE_S)
        model = self.model.claim("walker", limit, self.now, LEASE_S)
        assert [replace(claim, run=0) for claim in real] == [replace(claim, run=0) for claim in model], self.told()
        self.claims += zip(real, model, strict=True)

    def commit(self) -> None:
        """New rows, no text, a failure (with or without the old rows), or a removal."""
        kind = self.random.choice(("indexed", "indexed", "empty", "failed", "kept", "removed"))
        commits = []
        for pair in self.some_claims(2):
            claim = pair[0]
            record = None
            if kind == "kept" and claim.record is not None:
                record = replace(claim.record, outcome=Outcome.FAILED, error_code="broken", error="kaputt")
            elif kind not in ("kept", "removed"):
                record = Desk(self.real).record(claim, Outcome(kind))
            commits.append([Commit(each, record, kind, _STATS) for each in pair])
        self.trace.append(f"commit {kind} {[real.claim.run for real, _ in commits]}")
        real = self.real.commit([each[0] for each in commits], self.now)
        assert real == self.model.commit([each[1] for each in commits], self.now), self.told()

    def settle(self) -> None:
        """Some at once."""
        self.of_claims("settle", self.some_claims(), self.now, RECHECK_S)

    def release(self) -> None:
        """Some at once."""
        self.of_claims("release", self.some_claims(), self.now)

    def heartbeat(self) -> None:
        """Some at once."""
        self.of_claims("heartbeat", self.some_claims(), self.now, LEASE_S)

    def retry(self) -> None:
        """One, in every flavour."""
        flags: dict[str, Any] = {
            "is_unclean": self.random.random() < 0.3,
            "is_charged": self.random.random() < 0.7,
            "stats": self.random.choice((RunStats(), _STATS)),
        }
        due = self.now + self.random.choice((0.0, 5.0, 100.0))
        for real, model in self.some_claims(1):
            self.trace.append(f"retry {real.run} {due} {flags}")
            answer = self.real.retry(real, BROKEN, self.now, due, **flags)
            assert answer == self.model.retry(model, BROKEN, self.now, due, **flags), self.told()

    def bury(self) -> None:
        """One."""
        for real, model in self.some_claims(1):
            retry_at = self.random.choice((None, self.now + 100))
            self.trace.append(f"bury {real.run} {retry_at}")
            answer = self.real.bury(real, BROKEN, self.now, RECHECK_S, retry_at)
            assert answer == self.model.bury(model, BROKEN, self.now, RECHECK_S, retry_at), self.told()

    def begin(self) -> None:
        """One."""
        for real, model in self.some_claims(1):
            self.trace.append(f"begin {real.run}")
            assert self.real.begin(real) == self.model.begin(model), self.told()

    def put_off(self) -> None:
        """One."""
        for real, model in self.some_claims(1):
            due = self.now + self.random.choice((0.0, 30.0))
            self.trace.append(f"put_off {real.run} {due}")
            answer = self.real.put_off(real, BROKEN, self.now, due, due + 50)
            assert answer == self.model.put_off(model, BROKEN, self.now, due, due + 50), self.told()

    def note(self) -> None:
        """One."""
        for real, model in self.some_claims(1):
            self.trace.append(f"note_run {real.run}")
            self.real.note_run(real, "skip", "unchanged", self.now, _STATS)
            self.model.note_run(model, "skip", "unchanged", self.now, _STATS)

    def deliver(self) -> None:
        """The oldest entry leaves the outbox, or waits."""
        entries = self.both("outbox", self.now, 2)
        ids = [entry.id for entry in entries]
        if self.random.random() < 0.5:
            self.both("outbox_done", ids)
        else:
            self.both("outbox_later", ids, self.now + 50)

    def sleep(self) -> None:
        """Past every lease, or past every re-check."""
        self.now += self.random.choice((LEASE_S, RECHECK_S))

    def expire(self) -> None:
        """As after a crash of the whole service."""
        self.both("expire_all", self.now)

    def compare(self) -> None:
        """All that can be seen."""
        self.both("next_due")
        self.both("objects", limit=50)
        self.both("counts")
        self.both("counts", "bucket0", "키/")
        self.both("freshness")
        self.both("collections")
        self.both("newest", "docs")
        assert _from_0(self.real.runs(None, 200)) == _from_0(self.model.runs(None, 200)), self.told()
        assert list(self.real.records()) == list(self.model.records()), self.told()
        assert self.real.outbox(self.now, 200) == self.model.outbox(self.now, 200), self.told()
        del self.trace[-7:]


def _from_0(runs: list[Run]) -> list[Run]:
    """Newest first, counted from the oldest: a ledger may begin with any number."""
    return [replace(each, run=each.run - runs[-1].run) for each in runs]
