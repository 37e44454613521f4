"""The world of the simulation: a bucket that changes, events that get lost, and hosts that run the real worker."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.domain.records import Outcome
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.domain.rows import IdRanges
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.gate import ByteGate
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.parts import EngineConfig, Parts
from s3_to_milvus.engine.resolve import Resolver
from s3_to_milvus.engine.scan import Scanner
from s3_to_milvus.engine.worker import Worker
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from s3_to_milvus.testing.fakes.object_store import MemoryObjectStore
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.splitter import FakeSplitter
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.fault.simulation.scheduler import Scheduler, Stepped

__all__ = ["BUCKET", "Chances", "World"]

BUCKET = "bucket"
_STORE = frozenset({"get"})
_LEDGER = frozenset({"claim", "commit", "settle", "retry", "bury", "release", "put_off", "begin"})
_VECTORS = frozenset({"ensure", "insert", "sync", "delete", "delete_other_runs", "fetch"})
_EMBEDDER = frozenset({"embed_documents"})
_WRITTEN = frozenset({"after commit", "after insert", "after delete", "after delete_other_runs"})
LEASE_S = 40.0
RECHECK_S = 200.0


@dataclass(frozen=True)
class Chances:
    """How often things go wrong, per step of a schedule."""

    put: float = 0.06
    remove: float = 0.05
    deliver: float = 0.10
    crash: float = 0.03
    jump: float = 0.02
    loss: float = 0.0
    fault: float = 0.0

    @property
    def is_orderly(self) -> bool:
        """No process dies and no call fails: then even the later look at suspect objects must find nothing to do."""
        return self.crash == 0 and self.fault == 0

    @staticmethod
    def of(seed: int, loss: float = 0.0) -> "Chances":
        """Four climates in turn: a storm of crashes heals by the slow path what the others would show."""
        climates = (
            {"crash": 0.03, "jump": 0.02, "fault": 0.01},
            {"crash": 0.006, "jump": 0.005, "fault": 0.01},
            {"crash": 0.0, "jump": 0.04, "fault": 0.0},
            {"crash": 0.0, "jump": 0.0, "fault": 0.06},
        )
        return Chances(loss=loss, **climates[seed % len(climates)])


@dataclass
class World:
    """One schedule. Everything random comes from the seed."""

    seed: int
    chances: Chances = field(default_factory=Chances)
    hosts: tuple[str, ...] = ("A", "B")
    keys: int = 4
    mutate: Callable[["World"], None] = lambda world: None
    crashes: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.seed)
        self.random = self.scheduler.random
        self.clock = FakeClock()
        self.store = MemoryObjectStore([BUCKET])
        self.ledger = MemoryLedger()
        self.vectors = MemoryVectorStore()
        self.is_calm = False
        self.queue: list[ObjectRef] = []
        self.versions = 0
        self.make_worker = Worker
        self.make_resolver = Resolver
        self.ledger_port: Any = self.ledger
        self.vectors_port: Any = self.vectors
        self.store_port: Any = self.store
        self.mutate(self)
        for host in self.hosts:
            self.boot(host)

    # hosts

    def parts(self) -> Parts:
        """The engine's parts as one host sees them."""
        pause, fault = self.scheduler.pause, self.fault
        config = EngineConfig(
            workers=1,
            claim_batch=3,
            lease_s=LEASE_S,
            recheck_s=RECHECK_S,
            load_rows=5,
            hold_s=5,
            slow_s=30.0,
            retry=RetryPolicy(base_s=2.0, cap_s=20.0, defect_attempts=10_000, death_cap_s=20.0),
        )
        return Parts(
            stores={BUCKET: Stepped(self.store_port, pause, _STORE, fault)},
            parsers=[FakeParser()],
            sniff=lambda data, path, name: "text/plain",
            describe=str,
            splitter=FakeSplitter(),
            embedder=Stepped(FakeEmbedder(), pause, _EMBEDDER, fault),
            vectors=Stepped(self.vectors_port, pause, _VECTORS, fault),
            ledger=Stepped(self.ledger_port, pause, _LEDGER),
            clock=self.clock,
            scratch=Path("/nonexistent"),
            config=config,
        )

    def boot(self, host: str) -> None:
        """Start the process of a host (again)."""
        parts = self.parts()
        collections = Collections(parts)
        leases = Leases(parts.ledger, parts.clock, parts.config.lease_s)
        resolver = self.make_resolver(parts, collections, leases)
        gate = ByteGate(parts.config.gate_bytes)
        worker = self.make_worker(parts, collections, leases, gate, resolver, self.clock.token())

        def body() -> None:
            while True:
                if worker.step() == 0:
                    self.scheduler.pause("idle")

        self.scheduler.spawn(host, body)

    def fault(self, label: str) -> None:
        """Some outside calls fail; after the call means that it was applied all the same."""
        if not self.is_calm and self.random.random() < self.chances.fault:
            raise Unavailable(f"scripted fault {label}")

    # the outside

    def put(self, key: str) -> None:
        """A new version: one paragraph per row, some of them as in the version before."""
        self.versions += 1
        paragraphs = [f"{key} common {n}" for n in range(self.random.randrange(3))]
        paragraphs += [f"{key} v{self.versions} {n}" for n in range(self.random.randrange(4))]
        self.store.put(BUCKET, key, "\n\n".join(paragraphs).encode())
        self.notify(key)

    def remove(self, key: str) -> None:
        """The object vanishes."""
        if key in self.store.contents(BUCKET):
            self.store.delete(BUCKET, key)
            self.notify(key)

    def notify(self, key: str) -> None:
        """Zero to three events, anywhere in the queue."""
        if self.random.random() < self.chances.loss:
            return
        for _ in range(1 + (self.random.random() < 0.25) + (self.random.random() < 0.05)):
            self.queue.insert(self.random.randrange(len(self.queue) + 1), ObjectRef(BUCKET, key))

    def deliver(self) -> None:
        """One event reaches the ledger."""
        if self.queue:
            self.ledger_port.observe([self.queue.pop(0)], Lane.LIVE, self.clock.now())

    # the schedule

    def run(self, steps: int = 200) -> None:
        """A storm of ``steps`` steps."""
        draw, actions = self.random, self.actions()
        for _ in range(steps):
            self.clock.advance(1.0)
            point = draw.random()
            for chance, action in actions:
                point -= chance
                if point < 0:
                    action()
                    break
            else:
                self.step(draw.choice(self.hosts))

    def actions(self) -> list[tuple[float, Callable[[], object]]]:
        """What may happen between two steps of the hosts, each with its chance."""
        chances, draw = self.chances, self.random
        return [
            (chances.put, lambda: self.put(f"k{draw.randrange(self.keys)}")),
            (chances.remove, lambda: self.remove(f"k{draw.randrange(self.keys)}")),
            (chances.deliver, self.deliver),
            (chances.crash, self.crash),
            (chances.jump, lambda: self.clock.advance(LEASE_S * 1.5)),
        ]

    def step(self, host: str) -> None:
        """Let a host go on; one that idles while nothing is due gets something to do."""
        due = self.ledger.next_due()
        if self.scheduler.trace_of(host) == "idle" and (due is None or due > self.clock.now()):
            if not self.queue:
                self.put(f"k{self.random.randrange(self.keys)}")
            self.deliver()
        else:
            self.go_on(host)

    def go_on(self, host: str) -> None:
        """Run a host to its next pause; where it has just written, look at what must be true at every moment."""
        self.scheduler.run(host)
        if self.scheduler.trace_of(host) in _WRITTEN:
            self.watch()

    def crash(self) -> None:
        """Kill a host where it stands, and start it again."""
        host = self.random.choice(self.hosts)
        self.scheduler.crash(host)
        self.crashes += 1
        self.boot(host)

    def calm_down(self) -> None:
        """No more faults, no more crashes; every event arrives; the hosts work until nothing is left to do."""
        self.is_calm = True
        while self.queue:
            self.deliver()
        for is_final in (False, True):
            self.finish_work(is_final=is_final)
            if not is_final and self.chances.is_orderly and not self.chances.loss:
                self.broken += [f"before the later look: {problem}" for problem in self.differences()]

    def finish_work(self, *, is_final: bool) -> None:
        """Work until nothing is due any more; later looks at suspect objects wait for the final round."""
        for _ in range(60):
            self.drain()
            dues = [
                item.work.due
                for item in self.ledger.items.values()
                if item.work is not None and item.work.due is not None and (is_final or not item.work.is_settled)
            ]
            if not dues:
                return
            self.clock.advance(max(0.0, min(dues) - self.clock.now()) + 0.001)
        self.broken.append("the queue never drained")

    def drain(self) -> None:
        """Let every host run until all of them are idle and nothing is due."""
        for _ in range(4_000):
            due = self.ledger.next_due()
            is_quiet = all(self.scheduler.trace_of(host) == "idle" for host in self.hosts) and (
                due is None or due > self.clock.now()
            )
            if is_quiet:
                return
            self.go_on(self.random.choice(self.hosts))
        self.broken.append("a host never came to rest")

    def scan(self) -> None:
        """One healing scan."""
        Scanner(self.parts(), lambda ref: True).scan(BUCKET, is_removal_confirmed=True)

    # what must be true

    def watch(self) -> None:
        """At every moment: the rows that the ledger calls true are all there, and are what their run made."""
        for item in self.ledger.items.values():
            record = item.record
            if record is None or not record.ids:
                continue
            rows = self.vectors.rows(record.collection)
            if not all(each in rows and rows[each].run == record.run for each in record.ids):
                self.broken.append(f"true rows of {record.ref.key} are not there")

    def wanted(self) -> dict[str, list[str]]:
        """By key, the texts that a bucket as it is now must have in Milvus."""
        found = {}
        for key, content in self.store.contents(BUCKET).items():
            texts = [text for text in content.decode().split("\n\n") if text]
            if texts:
                found[key] = sorted(texts)
        return found

    def present(self) -> dict[str, list[str]]:
        """By key, the texts that are in Milvus."""
        found: dict[str, list[str]] = {}
        for collection in self.vectors.collections():
            for row in self.vectors.rows(collection).values():
                found.setdefault(row.file_key, []).append(row.text)
        return {key: sorted(texts) for key, texts in found.items()}

    def differences(self) -> list[str]:
        """Where bucket and Milvus differ."""
        wanted, present = self.wanted(), self.present()
        return [
            f"{key}: bucket {wanted.get(key)} but Milvus {present.get(key)}"
            for key in sorted(wanted.keys() | present.keys())
            if wanted.get(key) != present.get(key)
        ]

    def problems(self) -> list[str]:
        """What is wrong now; empty: bucket, ledger and Milvus are equal and nothing broke on the way."""
        found = [*dict.fromkeys(self.broken), *self.differences()]
        for item in self.ledger.items.values():
            record = item.record
            if record is not None and record.outcome is Outcome.FAILED:
                found.append(f"{record.ref.key} was buried: {record.error}")
            if record is not None and record.ids != IdRanges.of(record.ids):
                found.append(f"{record.ref.key}: odd ids")
        return found
