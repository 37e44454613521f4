"""Tickets and rates of services over the ledger go by the clock that they are given."""

from s3_to_milvus.bootstrap.ledger_limits import LedgerLimits
from s3_to_milvus.bootstrap.ledger_tickets import LedgerTickets
from s3_to_milvus.domain.quarantine import TICKET_S
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.ledger import MemoryLedger


def test_tickets_are_forgotten_by_the_clock() -> None:
    clock = FakeClock(now=1_000.0)
    tickets = LedgerTickets(MemoryLedger(), clock)
    tickets.put_ticket("a", "request-1")
    clock.advance(TICKET_S)
    tickets.put_ticket("b", "request-2")
    assert tickets.ticket("a") == "request-1"
    clock.advance(1.0)
    tickets.put_ticket("c", "request-3")
    assert [tickets.ticket(key) for key in "abc"] == [None, "request-2", "request-3"]
    tickets.drop_ticket("b")
    assert tickets.ticket("b") is None


def test_rates_go_by_the_clock() -> None:
    clock = FakeClock()
    limits = LedgerLimits(MemoryLedger(), clock)
    assert [limits.reserve("a", 1, 2.0, 0.0, 5.0) for _ in range(3)] == [0.0, 2.0, 4.0]
    assert limits.reserve("a", 1, 2.0, 0.0, 5.0) == 6.0
    limits.sleep(6.0)
    assert clock.slept == [6.0]
    assert limits.reserve("a", 1, 2.0, 0.0, 5.0) == 0.0
