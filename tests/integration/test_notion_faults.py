"""Exactly one row for each job, whatever Notion answers, and whenever the process is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.journals.notion.setup import PROPERTIES
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.errors import RateLimited, TransientError, Unavailable
from tests.support.notion_entries import entry, journal_for, options_for
from tests.support.notion_server import ORIGINAL, Fault, NotionServer, notion_server, plain

ROOT = Path(__file__).resolve().parents[2]
LAG_S, SETTLE_S = 0.03, 0.06
AFTER = [Fault(status, is_after=True) for status in (0, 409, 500, 502, 503, 504)]
BEFORE = [Fault(status) for status in (0, 409, 500, 502, 503, 504)]
LIMITED = [Fault(429, retry_after="0"), Fault(529, retry_after="0")]


@pytest.fixture
def server() -> Iterator[NotionServer]:
    with notion_server() as server:
        yield server


def _numbers(server: NotionServer) -> Counter[int]:
    """How many rows each entry has."""
    return Counter(int(plain(row, "Job ID").split("-")[0]) for row in server.rows())


def test_a_thousand_jobs_through_faults_and_kills(server: NotionServer, tmp_path: Path) -> None:
    chance = random.Random(20_261_101)
    pid_file = tmp_path / "pid"

    def kill() -> None:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)

    server.lag_s = LAG_S
    server.faults.extend(
        chance.choice([*AFTER, *BEFORE, *LIMITED, *LIMITED]) if chance.random() < 0.15 else None for _ in range(2_000)
    )
    for place in chance.sample(range(1_000), 20):
        server.faults[place] = Fault(0, is_after=chance.random() < 0.7, call=kill)
    server.faults[1_010] = Fault(0, is_after=True, hang_s=3.5)
    options = options_for(server, server.add_database(PROPERTIES), settle_s=SETTLE_S, timeout_s=3, summarise_over=0)
    given = json.dumps({"entries": 1_000, "options": options, "pid_file": str(pid_file)})
    command = [sys.executable, "-m", "tests.support.notion_kills", given]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = _numbers(server)
    assert json.loads(run.stdout)["killed"] == 20
    assert sorted(rows) == list(range(1, 1_001)), "lost"
    assert set(rows.values()) == {1}, "doubled"


@pytest.mark.parametrize("schema", [PROPERTIES, ORIGINAL], ids=["own", "original"])
@pytest.mark.parametrize("mode", ["per_job", "per_file", "run_summary"])
def test_every_mode_through_faults_and_new_processes(server: NotionServer, schema: dict[str, Any], mode: str) -> None:
    """Deliveries that fail are repeated, by a new process or the same, mixed with what came meanwhile."""
    chance = random.Random(7)
    server.lag_s = LAG_S
    database_id = server.add_database(schema)
    server.faults.extend(
        chance.choice([*AFTER, *BEFORE, *LIMITED]) if chance.random() < 0.3 else None for _ in range(400)
    )
    waiting = [entry(number, outcome=chance.choice(["indexed", "removed", "failed"])) for number in range(1, 81)]
    journal, tickets = None, MemoryTickets()
    while waiting:
        size = chance.choice([3, 30, 60])
        if journal is None or chance.random() < 0.5:
            journal = journal_for(server, database_id, tickets, settle_s=SETTLE_S, mode=mode, summarise_over=20)
        try:
            journal.deliver(waiting[:size])
        except TransientError:
            chance.shuffle(waiting)
        else:
            del waiting[:size]
    assert _told(server, "File" if schema is PROPERTIES else "Title") == 80


def _told(server: NotionServer, title: str) -> int:
    """Jobs that the rows tell of: each its own, or as many as it counts."""
    total = 0
    for row in server.rows():
        words = plain(row, title).removeprefix("bucket: ").split(" ")
        total += int(words[0]) if words[1:2] in (["job:"], ["jobs:"]) else 1
    return total


@pytest.mark.parametrize("fault", [*AFTER, *BEFORE], ids=lambda fault: f"{fault.status}-{fault.is_after}")
def test_an_unknown_outcome_is_looked_up(server: NotionServer, fault: Fault) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES))
    server.faults.extend([None, fault])
    entries = [entry(1), entry(2), entry(3)]
    with pytest.raises(Unavailable, match="looked up before they are written again"):
        journal.deliver(entries)
    journal.deliver(entries)
    assert _numbers(server) == Counter({1: 1, 2: 1, 3: 1})


def test_it_waits_until_the_search_can_know(server: NotionServer) -> None:
    server.lag_s = 0.2
    journal = journal_for(server, server.add_database(PROPERTIES), settle_s=0.25)
    server.faults.append(Fault(500, is_after=True))
    with pytest.raises(Unavailable):
        journal.deliver([entry(1)])
    journal.deliver([entry(1)])
    assert _numbers(server) == Counter({1: 1})


def test_what_was_written_for_sure_is_not_asked_for_again(server: NotionServer) -> None:
    server.lag_s = 60
    journal = journal_for(server, server.add_database(PROPERTIES))
    journal.deliver([entry(1), entry(2)])
    asked = len(server.requests)
    journal.deliver([entry(2), entry(1)])
    assert len(server.requests) - asked <= 1, "the row of the hour alone"
    assert _numbers(server) == Counter({1: 1, 2: 1})


def test_a_short_wait_is_waited_for(server: NotionServer) -> None:
    server.faults.extend([Fault(429, retry_after="0.2"), Fault(529, retry_after="0")])
    started = time.monotonic()
    journal_for(server, server.add_database(PROPERTIES)).deliver([entry(1)])
    assert time.monotonic() - started >= 0.2
    assert _numbers(server) == Counter({1: 1})


@pytest.mark.parametrize("status", [429, 529])
def test_a_long_wait_is_left_to_the_outbox(server: NotionServer, status: int) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES))
    server.faults.append(Fault(status, retry_after="90"))
    with pytest.raises(RateLimited) as caught:
        journal.deliver([entry(1)])
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 90
    asked = len(server.requests)
    with pytest.raises(RateLimited):
        journal.deliver([entry(1)])
    assert len(server.requests) == asked, "nothing is sent before the time"


def test_requests_keep_to_the_rate(server: NotionServer) -> None:
    server.per_second = 45  # what may be used at once, and what comes in the second after it
    journal = journal_for(server, server.add_database(PROPERTIES), requests_per_second=20)
    journal.deliver([entry(number) for number in range(1, 41)])
    assert len(_numbers(server)) == 40
    assert sum(1 for method, path, _ in server.requests if (method, path) == ("POST", "/pages")) == 40


def test_a_server_that_is_down_ends_the_delivery(server: NotionServer) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES))
    journal.deliver([entry(1)])
    server.faults.extend(Fault(503) for _ in range(100))
    with pytest.raises(Unavailable):
        journal.deliver([entry(number) for number in range(2, 51)])
    assert len(server.faults) == 97


def test_nobody_there() -> None:
    with notion_server() as gone:
        journal = journal_for(gone, gone.add_database(PROPERTIES))
    with pytest.raises(Unavailable, match="cannot be reached"):
        journal.deliver([entry(1)])


def test_ids_of_a_new_ledger_are_other_jobs(server: NotionServer) -> None:
    database_id = server.add_database(PROPERTIES)
    journal_for(server, database_id).deliver([entry(1)])
    journal_for(server, database_id).deliver([entry(1, at=1_800_000_000.0)])
    assert _numbers(server) == Counter({1: 2})
