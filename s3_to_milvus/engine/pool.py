"""The worker pool: threads that step, a heartbeat that keeps leases, a hold when nothing works."""

import threading
import time
from collections.abc import Callable
from functools import partial

from s3_to_milvus.domain.records import Claim, Failure, RunStats
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.gate import ByteGate
from s3_to_milvus.engine.leases import Leases
from s3_to_milvus.engine.observe import log
from s3_to_milvus.engine.parts import Parts
from s3_to_milvus.engine.resolve import Done, Resolver
from s3_to_milvus.engine.suspects import Suspects
from s3_to_milvus.engine.worker import Worker
from s3_to_milvus.errors import FatalError, S3ToMilvusError

__all__ = ["WorkerPool"]

_IDLE_S = 5.0


class WorkerPool:
    """Runs workers until stopped. ``held`` says why the queue is held, None while it runs."""

    def __init__(self, parts: Parts, collections: Collections, listener: Callable[[Done], None]) -> None:
        self._parts = parts
        self._leases = Leases(parts.ledger, parts.clock, parts.config.lease_s)
        self._gate = ByteGate(parts.config.gate_bytes)
        self._wakeup = threading.Condition()
        self._signal = 0
        self._stop = threading.Event()
        self._busy = 0
        self._hold_until = 0.0
        self._threads: list[threading.Thread] = []
        suspects = Suspects(parts.clock, parts.config.retry)
        self._workers = [
            Worker(
                parts,
                collections,
                self._leases,
                self._gate,
                Resolver(parts, collections, self._leases, listener),
                parts.clock.token(),
                suspects,
            )
            for _ in range(parts.config.workers)
        ]
        self.held: FatalError | None = None

    def start(self) -> None:
        """Start the threads, once."""
        if self._threads:
            return
        for number, worker in enumerate(self._workers):
            self._spawn(f"s2m-worker-{number}", partial(self._run, worker))
        self._spawn("s2m-relief", self._relieve)
        self._spawn("s2m-heartbeat", self._beat)
        self._spawn("s2m-tend", self._tend)

    def wake(self) -> None:
        """There is work: one idle worker looks at once (and wakes another where it can't take all of it)."""
        with self._wakeup:
            self._signal += 1
            self._wakeup.notify()

    @property
    def is_busy(self) -> bool:
        """True while a worker works."""
        return self._busy > 0

    @property
    def is_running(self) -> bool:
        """True while every thread of the pool lives and none was asked to stop."""
        return bool(self._threads) and not self._stop.is_set() and all(each.is_alive() for each in self._threads)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no worker works and nothing is due; False when that takes longer than ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.is_busy:
                due = self._parts.ledger.next_due()
                if not self.is_busy and (due is None or due > self._parts.clock.now()):
                    return True
            time.sleep(0.005)
        return False

    def resume(self) -> None:
        """End a hold: somebody mended the cause."""
        self._hold_until = 0.0
        self.held = None
        self.wake()

    def stop(self) -> None:
        """Let workers finish for at most ``stop_s``; hand back what they still hold then."""
        self._stop.set()
        with self._wakeup:
            self._wakeup.notify_all()
        deadline = time.monotonic() + self._parts.config.stop_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        now = self._parts.clock.now()
        left = Failure("stopped", "The service stopped while it worked on this object.")
        late = self._leases.held()
        self._leases.drop(late)
        for claim in late:
            stats = self._stats_of(claim)
            self._parts.ledger.retry(claim, left, now, now, is_unclean=True, is_charged=False, stats=stats)

    def _stats_of(self, claim: Claim) -> RunStats:
        """What a claim that is still in work has cost so far."""
        found = (worker.stats_of(claim) for worker in self._workers)
        return next((stats for stats in found if stats is not None), RunStats())

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, worker: Worker) -> None:
        while not self._stop.is_set():
            signal = self._signal
            if self._parts.clock.now() >= self._hold_until and self._step(worker):
                continue
            self._wait(signal)

    def _step(self, worker: Worker) -> bool:
        with self._wakeup:
            self._busy += 1
        try:
            count = worker.step(self._stop.is_set, self.wake)
        except FatalError as error:
            self._hold(error)
            return False
        except Exception as error:  # noqa: BLE001 - a worker thread must live on; the queue is held meanwhile
            if self._stop.is_set():
                return False  # it came back too late: its claims were handed back, the stores are closed
            log.exception("worker.failed", error=type(error).__name__)
            known = error.message if isinstance(error, S3ToMilvusError) else type(error).__name__
            self._hold(FatalError(f"A worker failed: {known}"))
            return False
        finally:
            with self._wakeup:
                self._busy -= 1
        if count:
            self.held = None
        return count > 0

    def _hold(self, error: FatalError) -> None:
        self.held = error
        self._hold_until = self._parts.clock.now() + self._parts.config.hold_of(error)
        log.error("queue.held", code=error.code, message=error.message, hint=error.hint)

    def _wait(self, signal: int) -> None:
        """Sleep until woken, until the next work is due, or a few seconds (other hosts may have added work)."""
        now = self._parts.clock.now()
        try:
            due = None if self._stop.is_set() else self._parts.ledger.next_due()
        except Exception as error:  # noqa: BLE001 - a worker thread must live on; it looks again in a while
            log.warning("queue.unreadable", error=type(error).__name__)
            due = None
        until = max(self._hold_until, now + _IDLE_S if due is None else min(due, now + _IDLE_S))
        with self._wakeup:
            if self._signal == signal and not self._stop.is_set():
                self._wakeup.wait(max(0.005, until - now))

    def _relieve(self) -> None:
        while not self._stop.wait(self._parts.config.slow_s):
            for worker in self._workers:
                try:
                    if worker.relieve():
                        self.wake()
                except FatalError as error:
                    self._hold(error)
                except Exception as error:  # noqa: BLE001 - what could not be resolved is found by its lease
                    log.warning("relief.failed", error=type(error).__name__)

    def _beat(self) -> None:
        while not self._stop.wait(self._parts.config.lease_s / 6):
            try:
                self._leases.renew()
            except Exception as error:  # noqa: BLE001 - leases then run out, which is safe
                log.warning("heartbeat.failed", error=type(error).__name__)

    def _tend(self) -> None:
        while not self._stop.wait(0.5):
            try:
                self._parts.vectors.tend(is_idle=not self.is_busy)
            except Exception as error:  # noqa: BLE001 - housekeeping is tried again
                log.warning("tend.failed", error=type(error).__name__)
