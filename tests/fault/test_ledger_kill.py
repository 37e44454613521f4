"""Real `kill -9` of a process that works on the ledger: what it was told is done stays done, and nothing else is."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import Claim
from s3_to_milvus.ports import Ledger
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from tests.fault.ledger_child import apply

ROOT = Path(__file__).resolve().parents[2]
STORIES = 30
CROWDS = 10


class Victim:
    """The process whose children are killed."""

    def __init__(self, path: Path, log: Path) -> None:
        self.log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.ledger_child", path, log],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live_and_die(self, order: dict[str, Any], min_lines: int, more_s: float) -> list[str]:
        """What a child told, from its start until it was killed ``more_s`` after its first lines."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.log.write_bytes(b"")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        deadline = time.monotonic() + 300
        while self.log.read_bytes().count(b"\n") < min_lines and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(more_s)
        os.kill(child, signal.SIGKILL)
        assert self._process.stdout.readline() == "dead\n"
        return self.log.read_text().splitlines()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def victim(path: Path, tmp_path: Path) -> Iterator[Victim]:
    victim = Victim(path, tmp_path / "log")
    yield victim
    victim.close()


def _seen(ledger: Ledger) -> list[object]:
    return [
        ledger.objects(limit=1000),
        ledger.counts(),
        ledger.next_due(),
        ledger.runs(limit=10_000),
        ledger.outbox(1e12, 100_000),
        ledger.freshness(10_000),
    ]


def _first_run(path: Path) -> int:
    """Where a ledger that is made now begins."""
    SqliteLedger(SqliteLedger.Options(), path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()[0]
        return found


def test_what_was_acknowledged_is_exactly_what_is_there(victim: Victim, path: Path) -> None:
    chance = random.Random(7)
    model = MemoryLedger()
    model.last_run = _first_run(path)
    steps, cut = 0, 0
    for seed in range(STORIES):
        order = {"mode": "story", "seed": seed, "now": 1000.0 * (seed + 1)}
        told = victim.live_and_die(order, 4, chance.random() * 0.06)
        held: list[Claim] = []
        last = None if told[-1] == "ok" else json.loads(told.pop())
        for line in told[::2]:
            apply(model, held, json.loads(line))
        steps += len(told) // 2
        ledger = SqliteLedger(SqliteLedger.Options(), path)
        try:
            if last is not None and _seen(ledger) != _seen(model):
                apply(model, held, last)  # it was durable, the process only could not say so any more
                cut += 1
            assert _seen(ledger) == _seen(model), f"after kill {seed}"
        finally:
            ledger.close()
    assert steps > STORIES * 2


def test_every_acknowledged_event_of_a_crowd_is_there(victim: Victim, path: Path) -> None:
    chance = random.Random(8)
    acknowledged: set[str] = set()
    for seed in range(CROWDS):
        order = {"mode": "crowd", "seed": seed}
        acknowledged |= set(victim.live_and_die(order, 20, chance.random() * 0.03))
        ledger = SqliteLedger(SqliteLedger.Options(), path)
        try:
            known = {status.ref.key for status in ledger.objects(bucket="crowd", limit=1_000_000)}
            assert acknowledged <= known
            assert ledger.counts("crowd").waiting == len(known)
            assert ledger.status(ObjectRef("crowd", "never")) is None
        finally:
            ledger.close()
    assert len(acknowledged) >= CROWDS * 20
