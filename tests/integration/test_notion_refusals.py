"""A table in Notion that refuses some rows: the others of their batch are written, once; the refused ones are kept."""

from collections import Counter
from collections.abc import Iterator

import pytest
import structlog

from s3_to_milvus.adapters.journals.notion.setup import PROPERTIES
from s3_to_milvus.bootstrap.ledger_tickets import LedgerTickets
from s3_to_milvus.engine.delivery import Delivery
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from tests.support.notion_entries import entry, journal_for
from tests.support.notion_server import NotionServer, notion_server, plain

REFUSED = (3, 4, 5, 6, 20)


class _Desk:
    """A delivery to a server that refuses what has ``unwanted`` in it; each one starts as a new process would."""

    def __init__(self, server: NotionServer, ledger: MemoryLedger, database_id: str, **options: object) -> None:
        self.server, self.ledger = server, ledger
        self.clock = FakeClock()
        self.warning = ""
        journal = journal_for(server, database_id, LedgerTickets(ledger, self.clock), **options)
        self.delivery = Delivery(ledger, self.clock, journal, self._warn)

    def _warn(self, text: str) -> None:
        self.warning = text

    def run(self, rounds: int = 4) -> None:
        for _ in range(rounds):
            while self.delivery.step() == 0.0:
                pass
            self.clock.advance(31)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
def server() -> Iterator[NotionServer]:
    with notion_server() as server:
        server.is_refused = lambda text: "unwanted" in text
        yield server


def _ledger(count: int) -> MemoryLedger:
    ledger = MemoryLedger()
    for number in range(1, count + 1):
        key = f"{'unwanted' if number in REFUSED else 'good'} {number}"
        ledger.journal[number] = (0.0, entry(number, key=key))
    return ledger


def _numbers(server: NotionServer) -> Counter[int]:
    return Counter(int(plain(row, "File").split()[-1]) for row in server.rows())


@pytest.mark.parametrize("mode", ["per_job", "per_file"])
def test_the_rest_of_a_batch_is_written_once(server: NotionServer, mode: str) -> None:
    ledger, database_id = _ledger(40), server.add_database(PROPERTIES)
    desk = _Desk(server, ledger, database_id, mode=mode)
    desk.run()
    good = Counter(number for number in range(1, 41) if number not in REFUSED)
    assert _numbers(server) == good
    assert sorted(ledger.journal) == list(REFUSED)
    assert "refuses 5 jobs" in desk.warning
    again = _Desk(server, ledger, database_id, mode=mode)  # also by the next process
    again.clock.advance(3_600)
    again.run()
    assert _numbers(server) == good
    server.is_refused = lambda text: False
    again.clock.advance(3_600)
    again.run()
    assert _numbers(server) == Counter(range(1, 41))
    assert (ledger.journal, again.warning) == ({}, "")


def test_few_requests_are_spent_on_it(server: NotionServer) -> None:
    desk = _Desk(server, _ledger(40), server.add_database(PROPERTIES))
    desk.run()
    writes = sum(path.startswith("/pages") for _, path, _ in server.requests)
    assert writes <= 35 + 6 * len(REFUSED)
    seen = len(server.requests)
    desk.run()
    assert len(server.requests) == seen, "parked ones are left alone for ten minutes"


def test_a_backfill_whose_count_is_refused_does_not_become_rows(server: NotionServer) -> None:
    server.is_refused = lambda text: "jobs:" in text
    ledger = _ledger(80)
    desk = _Desk(server, ledger, server.add_database(PROPERTIES))
    desk.run()
    assert server.rows() == []
    assert len(ledger.journal) == 80
    assert "takes nothing" in desk.warning
    server.is_refused = lambda text: False
    desk.run()
    assert [plain(row, "File") for row in server.rows()] == ["80 jobs: 80 indexed"]


def test_a_count_that_was_written_is_not_doubled_by_what_is_refused_beside_it(server: NotionServer) -> None:
    ledger = _ledger(80)
    failed = entry(90, key="unwanted 90", outcome="failed")
    ledger.journal[90] = (0.0, failed)
    server.is_refused = lambda text: text.endswith("unwanted 90")
    desk = _Desk(server, ledger, server.add_database(PROPERTIES))
    desk.run()
    assert [plain(row, "File") for row in server.rows()] == ["80 jobs: 80 indexed"]
    assert sorted(ledger.journal) == [90]
