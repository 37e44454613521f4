"""``python -m tests.fault.simulation.disasters FIRST LAST``: the simulation with disasters.

Either store is lost, put back from an older copy, or loses what was not synced. The hosts die with it, as the service
does. What heals is what a service does by itself, at its start and with every scan.
"""

import pickle
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from s3_to_milvus.engine.integrity import IntegrityMonitor
from s3_to_milvus.engine.scan import Scanner
from s3_to_milvus.ports import SourceEntry
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from s3_to_milvus.testing.fakes.vector_store import StoreCopy
from tests.fault.simulation.scheduler import Stepped
from tests.fault.simulation.world import BUCKET, Chances, World

__all__ = ["KEEPER", "DisasterWorld", "endure"]

KEEPER = "keeper"
_CALLS = frozenset({"mark", "put_mark", "count", "fetch", "identities", "delete"})
_LEDGER_CALLS = frozenset({"suspect", "set_collection", "raise_runs", "newest", "collections", "observe"})
_COPY, _DISASTER, _KEEP = 0.03, 0.012, 0.06


@dataclass
class DisasterWorld(World):
    """As `World`, with copies of both stores that may come back, and the part of a service that compares them.

    ``disasters`` names what befell it; ``make_monitor`` is for planted defects.
    """

    disasters: list[str] = field(default_factory=list)
    make_monitor: Callable[..., Any] = IntegrityMonitor

    def __post_init__(self) -> None:
        self.copies: list[tuple[StoreCopy, bytes]] = []
        super().__post_init__()
        self.boot_keeper()

    # the stores

    def take_copies(self) -> None:
        """Somebody copies both stores, one right after the other."""
        self.copies.append((self.vectors.copy(), _state_of(self.ledger)))

    def put_back(self, state: bytes, vectors: StoreCopy | None = None) -> None:
        """The ledger, and the vector store where it is given, become what a copy holds."""
        if vectors is not None:
            self.vectors.put_back(vectors)
        vars(self.ledger).update(pickle.loads(state))

    def disaster(self) -> None:
        """Everything dies, and finds other data when it comes back."""
        draw = self.random
        nothing = (StoreCopy(), _state_of(MemoryLedger()))
        # A copy that differs little is the hardest to tell from what it replaces.
        copies = [nothing, *self.copies] if draw.random() < 0.4 else (self.copies or [nothing])[-1:]
        vectors, ledger = draw.choice(copies)[0], draw.choice(copies)[1]
        kinds: dict[str, Callable[[], object]] = {
            "power cut": self.cut_power,
            "vectors lost": lambda: self.vectors.put_back(nothing[0]),
            "ledger lost": lambda: self.put_back(nothing[1]),
            "older vectors": lambda: self.vectors.put_back(vectors),
            "older ledger": lambda: self.put_back(ledger),
            "older pair": lambda: self.put_back(ledger, vectors),
        }
        name = draw.choice(sorted(kinds))
        for host in (*self.hosts, KEEPER):
            self.scheduler.crash(host)
        kinds[name]()
        self.disasters.append(name)
        self.start()

    def cut_power(self) -> None:
        """What was acknowledged must be there without any repair, unless the stores differed before."""
        self.vectors.cut_power()
        if set(self.disasters) <= {"power cut"}:
            super().watch()

    def start(self) -> None:
        """A service starts over what lies there."""
        self.ledger.expire_all(self.clock.now())
        self.ledger_port.raise_runs(int(self.clock.now() * 1_000_000))
        for host in self.hosts:
            self.boot(host)
        self.boot_keeper()

    # what compares them

    def boot_keeper(self) -> None:
        """The loop of a service that compares and scans."""
        pause, parts = self.scheduler.pause, self.parts()
        vectors = Stepped(self.vectors_port, pause, _CALLS, self.fault)
        ledger = Stepped(self.ledger_port, pause, _LEDGER_CALLS)
        own: Any = {"vectors": vectors, "ledger": ledger}
        parts = type(parts)(**{name: getattr(parts, name) for name in parts.__dataclass_fields__} | own)
        monitor = self.make_monitor(parts)
        scanner = Scanner(parts, lambda ref: True)
        source = SourceEntry(BUCKET, f"s3://{BUCKET}")

        def body() -> None:
            while True:
                monitor.look()
                scanner.scan(BUCKET, is_removal_confirmed=True)
                monitor.scanned(source)
                monitor.tick()
                self.is_quiet = not monitor.warnings
                pause("rest")
                monitor.tick()

        self.is_quiet = False
        self.scheduler.spawn(KEEPER, body)

    def keep(self) -> None:
        """Let it go on to its next pause."""
        self.scheduler.run(KEEPER)

    def watch(self) -> None:
        """True rows may be missing from a disaster on, until that was healed."""
        if not self.disasters:
            super().watch()

    # the schedule

    def actions(self) -> list[tuple[float, Callable[[], object]]]:
        """Copies and disasters, too."""
        more = [(_COPY, self.take_copies), (_DISASTER, self.disaster), (_KEEP, self.keep)]
        return [*more, *super().actions()]

    def crash(self) -> None:
        """Kill a host, or what compares."""
        if self.random.random() < 0.3:
            self.scheduler.crash(KEEPER)
            self.crashes += 1
            self.boot_keeper()
        else:
            super().crash()

    def calm_down(self) -> None:
        """No more faults; every event that was not lost arrives; a few rounds of what a service does by itself."""
        self.is_calm = True
        while self.queue:
            self.deliver()
        for _ in range(3):
            self.finish_work(is_final=True)
            self.round()
        self.finish_work(is_final=True)
        self.round()
        if not self.is_quiet:
            self.broken.append("there is something left to repair")

    def round(self) -> None:
        """One round of comparing and scanning."""
        for _ in range(2):
            self.keep()
            while self.scheduler.trace_of(KEEPER) != "rest":
                self.keep()


def _state_of(ledger: MemoryLedger) -> bytes:
    """What a copy of the ledger's file holds."""
    return pickle.dumps({name: value for name, value in vars(ledger).items() if name != "lock"})


def endure(seed: int, mutate: Callable[[World], None] = lambda world: None) -> DisasterWorld:
    """One schedule with disasters."""
    world = DisasterWorld(seed, Chances.of(seed, loss=0.05 * (seed % 2)), mutate=mutate)
    world.run()
    world.calm_down()
    return world


def main(arguments: list[str]) -> int:
    """Run these seeds; print each that fails, and a summary. Exit code 1 when a seed failed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    first, last = int(arguments[0]), int(arguments[1])
    started, failed, befell = time.monotonic(), 0, Counter[str]()
    for seed in range(first, last):
        world = endure(seed)
        befell.update(world.disasters)
        if problems := world.problems():
            failed += 1
            print(f"seed {seed}: {world.disasters} {'; '.join(problems[:3])}")
    told = ", ".join(f"{count} × {name}" for name, count in sorted(befell.items()))
    print(f"{last - first} schedules, {told}, {failed} failed, {(last - first) / (time.monotonic() - started):.0f}/s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
