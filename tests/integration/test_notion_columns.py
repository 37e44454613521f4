"""Columns that people rename, add or take away: no row is doubled, and none keeps what it said before."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_milvus.adapters.journals.notion.setup import PROPERTIES
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.errors import RateLimited
from tests.support.notion_entries import entry, journal_for
from tests.support.notion_server import ORIGINAL, Fault, NotionServer, notion_server
from tests.support.notion_server import column_of as _column
from tests.support.patience import SOON_S

TEXT: dict[str, Any] = {"rich_text": {}}
STATUS = {"status": {"options": [{"name": name} for name in ("Not started", "In progress", "Done")]}}


@pytest.fixture
def server() -> Iterator[NotionServer]:
    with notion_server() as server:
        yield server


@pytest.mark.parametrize("kind", ["status", "select"])
@pytest.mark.parametrize("outcome", ["failed", "empty"])
def test_a_failure_does_not_keep_the_success_before_it(server: NotionServer, kind: str, outcome: str) -> None:
    database_id = server.add_database({**ORIGINAL, "Status": {kind: STATUS["status"]}})
    journal = journal_for(server, database_id, mode="per_file")
    journal.deliver([entry(1, key="a")])
    assert _column(server, "Status") == ["Done"]
    journal.deliver([entry(2, key="a", outcome=outcome, message="damaged")])
    assert _column(server, "Status") == [None if kind == "status" else "Failed"]
    assert "damaged" in _column(server, "Message")[0]
    journal.deliver([entry(3, key="a")])
    assert _column(server, "Status") == ["Done"]


def test_an_hour_with_a_failure_does_not_keep_the_success_before_it(server: NotionServer) -> None:
    journal = journal_for(server, server.add_database({**ORIGINAL, "Status": STATUS}), mode="run_summary")
    journal.deliver([entry(1)])
    journal.deliver([entry(2, outcome="failed")])
    assert _column(server, "Status") == [None]


@pytest.mark.parametrize("is_restarted", [True, False])
@pytest.mark.parametrize("mode", ["per_job", "per_file", "run_summary"])
def test_a_job_id_that_is_renamed_doubles_nothing(server: NotionServer, mode: str, is_restarted: bool) -> None:
    database_id, tickets = server.add_database(PROPERTIES), MemoryTickets()
    journal = journal_for(server, database_id, tickets, mode=mode)
    jobs = [entry(number, key=f"{number % 5}", message=str(number)) for number in range(1, 21)]
    for start, (old, new) in enumerate([("Job ID", "Auftrag"), ("Auftrag", "Job ID"), ("Job ID", "Log"), ("Log", "X")]):
        journal.deliver(jobs[start * 5 :][:5])
        server.rename(database_id, old, new)
        if is_restarted:
            journal = journal_for(server, database_id, tickets, mode=mode)
        journal.deliver(jobs[start * 5 :][:5])
    journal.deliver(jobs)
    expected = {"per_job": 20, "per_file": 5, "run_summary": 1}[mode]
    assert len(server.rows()) == expected
    if mode == "run_summary":
        assert _column(server, "File") == ["20 jobs: 20 indexed"]
    if mode == "per_file":
        assert sorted(text.split(" [s2m:")[0] for text in _column(server, "Message")) == ["16", "17", "18", "19", "20"]
    if not is_restarted:
        assert all("[s2m:" not in (text or "") for text in _column(server, "Message")), "the column is known by its id"


@pytest.mark.parametrize("mode", ["per_job", "per_file", "run_summary"])
def test_a_job_id_that_is_added_doubles_nothing(server: NotionServer, mode: str) -> None:
    database_id, tickets = server.add_database(ORIGINAL), MemoryTickets()
    journal = journal_for(server, database_id, tickets, mode=mode)
    journal.deliver([entry(1, key="a")])
    server.add_column(database_id, "Job ID", TEXT)
    for _ in range(2):
        journal.deliver([entry(1, key="a"), entry(2, key="a", message="again")])
        journal = journal_for(server, database_id, tickets, mode=mode)
    assert len(server.rows()) == (2 if mode == "per_job" else 1)
    if mode == "per_file":
        assert _column(server, "Message")[0].startswith("again")
    if mode == "run_summary":
        assert _column(server, "Title") == ["bucket: 2 jobs: 2 indexed"]


@pytest.mark.parametrize("new", ["Notiz", "Log"])
def test_a_message_that_is_renamed_doubles_nothing(server: NotionServer, new: str) -> None:
    database_id = server.add_database(ORIGINAL)
    journal_for(server, database_id, mode="per_file").deliver([entry(1, key="a")])
    server.rename(database_id, "Message", new)
    for number in (2, 1):
        journal_for(server, database_id, mode="per_file").deliver([entry(number, key="a")])
    assert len(server.rows()) == 1


def test_a_title_that_held_the_marker_is_still_found(server: NotionServer) -> None:
    database_id = server.add_database({"Name": {"title": {}}})
    journal_for(server, database_id).deliver([entry(1)])
    server.add_column(database_id, "Message", TEXT)
    server.add_column(database_id, "Job ID", TEXT)
    journal_for(server, database_id).deliver([entry(1)])
    assert len(server.rows()) == 1


def test_a_table_of_many_texts_is_searched_within_the_limits(server: NotionServer) -> None:
    columns = {f"Text {number}": TEXT for number in range(45)}
    database_id = server.add_database({**PROPERTIES, **columns})
    jobs = [entry(number) for number in range(1, 31)]
    for _ in range(2):
        journal_for(server, database_id, summarise_over=0).deliver(jobs)
    assert len(server.rows()) == 30


def test_what_stands_in_a_column_of_a_person_is_left_alone(server: NotionServer) -> None:
    database_id = server.add_database({**ORIGINAL, "Notes": TEXT})
    journal = journal_for(server, database_id, mode="per_file")
    journal.deliver([entry(1, key="a")])
    marker = _column(server, "Message")[0].split("[s2m:")[1].rstrip("]")
    note = {"rich_text": [{"type": "text", "text": {"content": f"see {marker}"}}]}
    server.rows()[0]["Notes"] = note
    journal_for(server, database_id, mode="per_file").deliver([entry(2, key="a")])
    assert _column(server, "Notes") == [f"see {marker}"]
    assert len(server.rows()) == 1


def test_a_column_that_goes_between_two_requests_stops_nothing(server: NotionServer) -> None:
    database_id = server.add_database(PROPERTIES)
    journal_for(server, database_id, mode="per_file").deliver([entry(1, key="a")])
    server.rename(database_id, "Job ID", "Auftrag")
    journal = journal_for(server, database_id, mode="per_file")
    server.faults.append(Fault(429, retry_after="60"))
    with pytest.raises(RateLimited):
        journal.deliver([entry(2, key="a")])
    server.drop_column(database_id, "Auftrag")
    journal = journal_for(server, database_id, mode="per_file")
    journal.deliver([entry(2, key="a")])
    journal_for(server, database_id, mode="per_file").deliver([entry(3, key="a")])
    assert len(server.rows()) == 2, "the row whose marker is lost, and one"


@pytest.mark.parametrize("text", ["1" * 20_000, "hour-=" + "9" * 5_000, "file-" + "1" * 5_000 + "-" + "2" * 5_000])
def test_no_text_of_a_person_stops_the_search(server: NotionServer, text: str) -> None:
    database_id = server.add_database({**ORIGINAL, "Notes": TEXT})
    journal_for(server, database_id, mode="per_file").deliver([entry(1, key="a")])
    server.rows()[0]["Notes"] = {"rich_text": [{"type": "text", "text": {"content": text}}]}
    started = time.monotonic()
    journal_for(server, database_id, mode="per_file").deliver([entry(2, key="a", message="again")])
    assert _column(server, "Message")[0].startswith("again")
    assert time.monotonic() - started < SOON_S
