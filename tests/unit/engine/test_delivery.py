"""From the outbox to the journal: what it refuses is put aside and told of, everything else arrives, once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.engine.delivery import Delivery
from s3_to_milvus.errors import ConfigError, RateLimited, Rejected, Unauthorized, Unavailable
from s3_to_milvus.testing.fakes.clock import FakeClock
from s3_to_milvus.testing.fakes.ledger import MemoryLedger

HOUR = 3_600


class _Journal:
    """Writes each entry once. ``refused``: for good. A call with such an entry writes nothing, or, where
    ``is_partial``, all before the third of them, as the journals for Notion and Slack do."""

    kind = "picky"

    def __init__(self, *refused: int, is_partial: bool = False) -> None:
        self.refused, self.is_partial = set(refused), is_partial
        self.failure: Exception | None = None
        self.written: Counter[int] = Counter()
        self.order: list[int] = []
        self.calls = 0

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        bad = [entry.id for entry in entries if entry.id in self.refused]
        for entry in entries:
            if entry.id not in bad and (not bad or (self.is_partial and entry.id < [*bad, 9, 9][2])):
                self.written[entry.id] = 1
                self.order.append(entry.id)
        if bad:
            raise Rejected(f"{len(bad)} refused.", hint="Change the table.")

    def check(self) -> str:
        return ""


class _Desk:
    """A delivery with its clock, ledger and what it warns of."""

    def __init__(self, journal: _Journal, entries: int) -> None:
        self.clock, self.ledger = FakeClock(), MemoryLedger()
        self.journal, self.warning = journal, ""
        self.delivery = Delivery(self.ledger, self.clock, journal, self._warn)
        for number in range(1, entries + 1):
            entry = JournalEntry(number, ObjectRef("bucket", f"{number}.txt"), "add", "indexed", 0.0, 0.0)
            self.ledger.journal[number] = (0.0, entry)

    def _warn(self, text: str) -> None:
        self.warning = text

    def run(self) -> None:
        """Until nothing is due."""
        for _ in range(100):
            if self.delivery.step():
                return
        raise AssertionError("it never ends")

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.run()

    @property
    def left(self) -> list[int]:
        return sorted(self.ledger.journal)


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def _told(lines: list[EventDict], event: str, field: str) -> list[Any]:
    return [line[field] for line in lines if line["event"] == event]


@pytest.mark.parametrize("is_partial", [False, True])
@pytest.mark.parametrize("refused", [(1,), (100,), (50,), (3, 4), (1, 40, 41, 99), (7, 9, 11, 13)])
def test_what_is_refused_holds_no_other(refused: tuple[int, ...], is_partial: bool, lines: list[EventDict]) -> None:
    desk = _Desk(_Journal(*refused, is_partial=is_partial), 130)
    desk.run()
    assert desk.left == list(refused)
    assert sorted(desk.journal.written) == sorted(set(range(1, 131)) - set(refused))
    assert _told(lines, "journal.refused", "id") == list(refused)
    assert set(_told(lines, "journal.refused", "key")) == {f"{each}.txt" for each in refused}
    assert f"refuses {len(refused)} job" in desk.warning
    assert "1 refused. Change the table." in desk.warning


def test_a_refused_entry_comes_later_and_is_told_of_until_it_is_written() -> None:
    desk = _Desk(_Journal(2), 3)
    desk.run()
    calls = desk.journal.calls
    desk.after(300)
    assert desk.journal.calls == calls
    desk.after(HOUR)
    assert (desk.left, "refuses 1 job" in desk.warning) == ([2], True)
    desk.journal.refused.clear()
    desk.after(HOUR)
    assert (desk.left, desk.warning) == ([], "")
    assert sorted(desk.journal.written) == [1, 2, 3]


@pytest.mark.parametrize("is_partial", [False, True])
def test_many_in_a_row_hold_the_others_up_for_a_while_only(is_partial: bool) -> None:
    desk = _Desk(_Journal(*range(1, 21), is_partial=is_partial), 60)
    desk.run()
    assert "takes nothing" in desk.warning
    assert len(desk.left) > 20
    for _ in range(20):
        desk.after(31)
    assert desk.left == list(range(1, 21))
    assert "refuses 20 jobs" in desk.warning


def test_a_journal_that_takes_nothing_is_not_asked_for_each_entry() -> None:
    desk = _Desk(_Journal(*range(1, 101)), 100)
    desk.run()
    assert desk.journal.calls <= 8
    assert len(desk.left) == 100


@pytest.mark.parametrize(
    "failure", [Unavailable("away"), ConfigError("no table"), Unauthorized("no"), KeyError("text")]
)
def test_any_other_failure_holds_all_for_a_while(failure: Exception, lines: list[EventDict]) -> None:
    desk = _Desk(_Journal(), 5)
    desk.journal.failure = failure
    desk.run()
    assert desk.journal.calls == 1
    assert desk.left == [1, 2, 3, 4, 5]
    assert _told(lines, "journal.failed", "entries") == [5]
    assert ("KeyError" if isinstance(failure, KeyError) else str(failure)) in desk.warning
    assert "text" not in desk.warning
    desk.journal.failure = None
    desk.after(31)
    assert (desk.left, desk.warning) == ([], "")


def test_a_failure_keeps_the_order() -> None:
    desk = _Desk(_Journal(), 250)
    desk.journal.failure = Unavailable("away")
    desk.run()
    desk.journal.failure = None
    assert (desk.journal.calls, desk.journal.order) == (1, [])
    for _ in range(2):
        desk.after(31)
    assert desk.journal.order == list(range(1, 251))


@pytest.mark.parametrize(
    "failure", [Unavailable("away", retry_after_s=3_600), RateLimited("slow", retry_after_s=3_600)]
)
def test_it_comes_back_when_it_was_asked_to(failure: Exception) -> None:
    desk = _Desk(_Journal(), 250)
    desk.journal.failure = failure
    desk.run()
    assert desk.delivery.step() == pytest.approx(HOUR)
    for _ in range(300):
        desk.after(10)
    assert desk.journal.calls == 1
    desk.journal.failure = None
    desk.after(601)
    assert (desk.left, desk.warning) == ([], "")


def test_a_short_wait_is_half_a_minute_nevertheless() -> None:
    desk = _Desk(_Journal(), 5)
    desk.journal.failure = Unavailable("away", retry_after_s=1)
    desk.run()
    desk.after(29)
    assert desk.journal.calls == 1
    desk.after(1.1)
    assert desk.journal.calls == 2


def test_a_clock_that_is_set_back_does_not_prolong_the_wait() -> None:
    desk = _Desk(_Journal(), 5)
    desk.journal.failure = Unavailable("away")
    desk.run()
    desk.clock.advance(-HOUR)
    desk.after(31)
    assert desk.journal.calls > 1


def test_refused_ones_that_are_tried_again_hold_no_new_one() -> None:
    """More of them than can be parked again before the first are due."""
    desk = _Desk(_Journal(*range(1, 96)), 100)
    for _ in range(40):
        desk.after(31)
    assert desk.left == list(range(1, 96))


def test_a_failure_between_refusals_keeps_what_was_not_written() -> None:
    desk = _Desk(_Journal(3), 10)
    deliver = desk.journal.deliver

    def failing(entries: Sequence[JournalEntry]) -> None:
        if [entry.id for entry in entries] == [2]:
            raise Unavailable("away")
        deliver(entries)

    desk.journal.deliver = failing  # type: ignore[method-assign]
    desk.run()
    desk.journal.deliver = deliver  # type: ignore[method-assign]
    for _ in range(3):
        desk.after(31)
    assert desk.left == [3]
    assert sorted(desk.journal.written) == [1, 2, *range(4, 11)]


def test_an_idle_outbox_waits() -> None:
    desk = _Desk(_Journal(), 0)
    assert desk.delivery.step() == 1.0
    assert desk.journal.calls == 0
