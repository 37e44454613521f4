"""Rows that count jobs: each job once, by any process, whatever ids other ledgers give, however scattered they lie."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.journals.notion.setup import PROPERTIES
from s3_to_milvus.adapters.journals.notion.tallies import Numbers
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.bootstrap.chosen import Chosen
from s3_to_milvus.bootstrap.ledger_tickets import LedgerTickets
from s3_to_milvus.domain.quarantine import TICKET_S
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.settings import load
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from tests.support.notion_entries import entry, journal_for, options_for
from tests.support.notion_server import ORIGINAL, NotionServer, notion_server
from tests.support.notion_server import column_of as _column

HOUR_AT = 1_699_999_200.0


@pytest.fixture
def server() -> Iterator[NotionServer]:
    with notion_server() as server:
        yield server


def _counted(server: NotionServer, title: str = "File") -> Counter[str]:
    """What all rows say together; a row of one job has its number as ``rows``."""
    total: Counter[str] = Counter()
    for text in _column(server, title):
        if found := re.match(r"(?:bucket: )?(\d+) jobs?: ", text):
            total["jobs"] += int(found[1])
            total.update({name: int(count) for count, name in re.findall(r"(\d+) (\w+)(?:,|$)", text[found.end() :])})
        else:
            total["rows"] += 1
    return total


def _in_an_hour(numbers: range, outcome: str = "indexed", key: str = "k") -> list[JournalEntry]:
    return [entry(number, key=f"{key}/{number}", at=HOUR_AT + 1, outcome=outcome) for number in numbers]


def test_a_backfill_is_counted(server: NotionServer) -> None:
    database_id, tickets = server.add_database(PROPERTIES), MemoryTickets()
    outcomes = ["indexed"] * 90 + ["removed"] * 7 + ["failed"] * 3
    entries = [entry(number, outcome=outcome, at=1_700_000_000.0) for number, outcome in enumerate(outcomes, 1)]
    journal_for(server, database_id, tickets).deliver(entries)
    assert _column(server, "File") == ["97 jobs: 90 indexed, 7 removed", *(f"인사/{n}.pdf" for n in (98, 99, 100))]
    journal_for(server, database_id, tickets).deliver(entries[50:])
    more = [entry(number, at=1_700_000_000.0) for number in range(101, 201)]
    journal_for(server, database_id, tickets).deliver([*more[:60], *entries[:40]])
    journal_for(server, database_id, tickets).deliver(more)
    assert _column(server, "File")[0] == "157 jobs: 150 indexed, 7 removed"
    assert len(server.rows()) == 4 + 40


def test_a_summary_counts_by_bucket_and_hour(server: NotionServer) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES), mode="run_summary")
    entries = [entry(n, bucket=b, at=a) for n, (b, a) in enumerate([("a", 3_600.0), ("b", 3_600.0), ("a", 7_300.0)])]
    journal.deliver([*entries, entry(3, bucket="a", at=3_700.0, outcome="failed")])
    journal.deliver(entries)
    assert _column(server, "File") == ["2 jobs: 1 indexed, 1 failed", "1 job: 1 indexed", "1 job: 1 indexed"]
    assert _column(server, "Status") == ["failed", "indexed", "indexed"]
    assert _column(server, "Bucket") == ["a", "b", "a"]


@pytest.mark.parametrize("mode", ["per_job", "run_summary"])
def test_ids_of_a_new_ledger_are_other_jobs(server: NotionServer, mode: str) -> None:
    """Two ledgers in one hour: a lost one and its successor, or those of two hosts that take turns."""
    database_id = server.add_database(PROPERTIES)
    old, new = MemoryTickets(), MemoryTickets()
    first = _in_an_hour(range(1, 101), key="old")
    second = [*_in_an_hour(range(1, 6), "failed", "new"), *_in_an_hour(range(6, 81), key="new")]
    for _ in range(2):
        journal_for(server, database_id, old, mode=mode).deliver(first)
        journal_for(server, database_id, new, mode=mode).deliver(second)
    found = _counted(server)
    assert found["indexed"] == 175
    assert found["failed"] + found["rows"] == 5


@pytest.mark.parametrize("mode", ["per_job", "run_summary"])
def test_no_failure_is_taken_for_another_job(server: NotionServer, mode: str) -> None:
    """A ledger that came back from a copy gives ids again that are counted."""
    database_id, tickets = server.add_database(PROPERTIES), MemoryTickets()
    journal_for(server, database_id, tickets, mode=mode).deliver(_in_an_hour(range(1, 101), key="before"))
    again = [*_in_an_hour(range(51, 56), "failed", "after"), *_in_an_hour(range(101, 201), key="after")]
    for _ in range(2):
        journal_for(server, database_id, tickets, mode=mode).deliver(again)
    found = _counted(server)
    assert found["indexed"] == 200
    assert found["failed"] + found["rows"] == 5


def test_a_process_without_a_ledger_loses_nothing(server: NotionServer) -> None:
    database_id = server.add_database(PROPERTIES)
    for key in ("old", "new"):
        journal_for(server, database_id).deliver(_in_an_hour(range(1, 101), key=key))
    assert _counted(server)["jobs"] == 200


def test_the_name_of_the_ledger_outlives_other_tickets(server: NotionServer) -> None:
    database_id, clock, ledger = server.add_database(PROPERTIES), FakeClock(), MemoryLedger()
    tickets = LedgerTickets(ledger, clock)
    jobs = _in_an_hour(range(1, 101))
    journal_for(server, database_id, tickets).deliver(jobs)
    for _ in range(3):
        clock.advance(TICKET_S * 0.9)
        tickets.put_ticket("something else", "")
        journal_for(server, database_id, tickets).deliver(jobs)
    assert _counted(server)["jobs"] == 100


def test_the_service_names_its_ledger(server: NotionServer, tmp_path: Path) -> None:
    database_id, ledger = server.add_database(PROPERTIES), MemoryLedger()
    for _ in range(2):
        given = {"journal": {"kind": "notion", "notion": options_for(server, database_id)}}
        chosen = Chosen(load(given, environ={}, folder=tmp_path))
        chosen.share(ledger, FakeClock())
        chosen.journal().deliver(_in_an_hour(range(1, 101)))
    assert _column(server, "File") == ["100 jobs: 100 indexed"]


@pytest.mark.parametrize("schema", [PROPERTIES, ORIGINAL], ids=["own", "original"])
def test_scattered_ids_are_all_counted(server: NotionServer, schema: dict[str, Any]) -> None:
    """Two buckets that take turns: every second id of 57,000."""
    title = "File" if schema is PROPERTIES else "Title"
    database_id, tickets = server.add_database(schema), MemoryTickets()
    jobs = _in_an_hour(range(1_000_000, 1_057_000, 2))
    journal_for(server, database_id, tickets, mode="run_summary").deliver(jobs[:27_000])
    journal_for(server, database_id, tickets, mode="run_summary").deliver(jobs[26_900:])
    assert _counted(server, title) == Counter(jobs=28_500, indexed=28_500)
    rows = len(server.rows())
    assert rows <= 10
    requests = len(server.requests)
    journal = journal_for(server, database_id, tickets, mode="run_summary")
    journal.deliver([*jobs[:50], *jobs[-50:]])
    assert _counted(server, title)["jobs"] == 28_500
    assert len(server.requests) - requests <= 4 + rows


def test_many_failures_are_all_counted(server: NotionServer) -> None:
    database_id, tickets = server.add_database(PROPERTIES), MemoryTickets()
    jobs = _in_an_hour(range(1, 7_001), "failed")
    for start in (0, 3_000):
        journal_for(server, database_id, tickets, mode="run_summary").deliver(jobs[start : start + 4_000])
    assert _counted(server) == Counter(jobs=7_000, failed=7_000)


def test_a_part_that_a_person_removed_is_counted_anew(server: NotionServer) -> None:
    database_id, tickets = server.add_database(PROPERTIES), MemoryTickets()
    jobs = _in_an_hour(range(0, 16_000, 2))
    journal_for(server, database_id, tickets, mode="run_summary").deliver(jobs)
    next(iter(server.pages.values())).is_in_trash = True
    journal_for(server, database_id, tickets, mode="run_summary").deliver(jobs)
    assert _counted(server)["jobs"] == 8_000


def test_a_marker_that_a_person_changed_harms_nothing(server: NotionServer) -> None:
    database_id, tickets = server.add_database(PROPERTIES), MemoryTickets()
    journal_for(server, database_id, tickets, mode="run_summary").deliver(_in_an_hour(range(1, 5)))
    marker = server.rows()[0]["Job ID"]["rich_text"][0]["text"]
    marker["content"] = marker["content"].replace("1-4", "1-99999999999,7")
    journal_for(server, database_id, tickets, mode="run_summary").deliver(_in_an_hour(range(5, 7)))
    assert _column(server, "File") == ["2 jobs: 2 indexed"]


def test_numbers_are_told_as_ranges() -> None:
    numbers = Numbers()
    for number in (5, 1, 3, 2, 5, 9, 4, 0):
        numbers.add(number)
    assert (str(numbers), len(numbers)) == ("0-5,9", 2)
    assert [number for number in range(12) if number in numbers] == [0, 1, 2, 3, 4, 5, 9]
    assert str(Numbers("0-5,9")) == "0-5,9"
    with pytest.raises(ValueError, match="ascending"):
        Numbers("5-1")
