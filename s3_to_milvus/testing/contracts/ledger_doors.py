"""The contract of what the doors keep in the ledger: quarantine, tickets, access keys."""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Iterator

import pytest

from s3_to_milvus.domain.access import AccessKey, Role
from s3_to_milvus.domain.quarantine import MAX_BODY_CHARS, MAX_QUARANTINED_CHARS, TICKET_S, QuarantinedBody
from s3_to_milvus.ports import Ledger
from s3_to_milvus.testing.contracts.ledger_tools import T

__all__ = ["LedgerDoorsContract"]


def _all_of(ledger: Ledger) -> Iterator[QuarantinedBody]:
    """Everything in quarantine, a few at a time."""
    page = ledger.quarantined(limit=10)
    while page:
        yield from page
        page = ledger.quarantined(after=page[-1].id, limit=10)


class LedgerDoorsContract:
    """Subclasses provide the fixture ``ledger``, empty."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        """A ledger that knows nothing."""
        raise NotImplementedError

    def test_bodies_in_quarantine_are_kept_in_their_order(self, ledger: Ledger) -> None:
        odd = '{"글": "\ud800\0"}'
        bodies = [QuarantinedBody(odd, "no known shape", "sqs", T + number) for number in range(3)]
        ledger.quarantine(bodies[:2])
        ledger.quarantine(bodies[2:])
        ledger.quarantine([])
        found = ledger.quarantined()
        assert [(each.reason, each.source, each.received_at) for each in found] == [
            ("no known shape", "sqs", T + n) for n in range(3)
        ]
        assert all('"글"' in each.body for each in found)
        first, second, third = (each.id for each in found)
        assert 0 < first < second < third
        assert [each.id for each in ledger.quarantined(after=first, limit=1)] == [second]
        ledger.unquarantine([second, 999])
        assert [each.id for each in ledger.quarantined()] == [first, third]
        ledger.unquarantine([first, third])
        ledger.quarantine([bodies[0]])
        assert ledger.quarantined()[0].id > third

    def test_a_body_in_quarantine_is_bounded(self, ledger: Ledger) -> None:
        ledger.quarantine([QuarantinedBody("가" * (MAX_BODY_CHARS + 5), "x" * 5_000, "http", T)])
        (found,) = ledger.quarantined()
        assert (len(found.body), len(found.reason)) == (MAX_BODY_CHARS, 1_000)

    def test_long_bodies_in_quarantine_do_not_fill_the_disk(self, ledger: Ledger) -> None:
        for number in range(100):
            ledger.quarantine([QuarantinedBody("x" * MAX_BODY_CHARS, str(number), "http", T)])
        found = [each.reason for each in _all_of(ledger)]
        assert found == [str(number) for number in range(100)][-len(found) :]
        assert MAX_QUARANTINED_CHARS * 0.9 <= len(found) * MAX_BODY_CHARS <= MAX_QUARANTINED_CHARS * 1.3

    def test_tickets_are_kept_until_they_are_dropped(self, ledger: Ledger) -> None:
        assert ledger.ticket("a") is None
        ledger.put_ticket("a", "1", T)
        ledger.put_ticket("b", "2", T)
        ledger.put_ticket("a", "3", T + 1)
        assert (ledger.ticket("a"), ledger.ticket("b")) == ("3", "2")
        ledger.drop_ticket("a")
        ledger.drop_ticket("a")
        assert (ledger.ticket("a"), ledger.ticket("b")) == (None, "2")
        ledger.put_ticket("c", "4", T + TICKET_S + 1)
        assert (ledger.ticket("b"), ledger.ticket("c")) == (None, "4")

    def test_access_keys_are_kept_by_name(self, ledger: Ledger) -> None:
        assert ledger.access_keys() == []
        first, second = AccessKey("b", Role.ADMIN, "1" * 64, T), AccessKey("람다", Role.EVENTS, "2" * 64, T)
        for key in (second, first):
            ledger.put_access_key(key)
        assert ledger.access_keys() == [first, second]
        other = AccessKey("b", Role.VIEWER, "3" * 64, T + 1)
        ledger.put_access_key(other)
        assert ledger.access_keys() == [other, second]
        assert ledger.drop_access_key("b")
        assert not ledger.drop_access_key("b")
        assert ledger.access_keys() == [second]
