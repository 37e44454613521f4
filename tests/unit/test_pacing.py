"""What ``Retry-After`` asks for, by any service, and how a rate is kept."""

import math

import pytest

from s3_to_milvus.adapters.limits import MemoryLimits, limit_name
from s3_to_milvus.adapters.pacing import Backoff, Pace, retry_after_s
from s3_to_milvus.errors import RateLimited
from s3_to_milvus.testing.fakes.clock import FakeClock


def _pace(clock: FakeClock, per_minute: float = 60) -> Pace:
    return Pace(per_minute, limits=MemoryLimits(clock.now, clock.sleep))


def test_a_rate_per_minute_waits_a_little_and_leaves_long_waits_to_the_queue() -> None:
    clock = FakeClock()
    pace = _pace(clock)
    for _ in range(3):
        pace.wait(1)
    assert clock.slept == []
    pace.wait(1)
    assert clock.slept == pytest.approx([1.0])
    pace.wait(30)
    for _ in range(3):  # what is refused is not reserved
        with pytest.raises(RateLimited) as caught:
            pace.wait(1)
        assert caught.value.retry_after_s == pytest.approx(30.0, abs=2)
    clock.advance(30)
    pace.wait(1)
    _pace(clock, 0).wait(1e9)


@pytest.mark.parametrize("amount", [1, 100, 5_000])
@pytest.mark.parametrize("burst_s", [0.0, 3.0])
def test_no_minute_sees_much_more_than_the_rate(amount: float, burst_s: float) -> None:
    clock = FakeClock()
    pace = Pace(100_000 if amount > 1 else 600, burst_s, limits=MemoryLimits(clock.now, clock.sleep))
    clock.advance(3_600)
    used, began = [], clock.now()
    while clock.now() < began + 130:
        pace.wait(amount)
        used.append(clock.now())
    most = max(sum(amount for at in used if start <= at < start + 60) for start in used[:: 1 + len(used) // 50])
    assert 0.95 <= most / (100_000 if amount > 1 else 600) <= 1.1


def test_without_a_burst_uses_come_evenly() -> None:
    clock = FakeClock()
    pace = Pace(3 * 60, 0.0, limits=MemoryLimits(clock.now, clock.sleep))
    clock.advance(60)
    for _ in range(7):
        pace.wait(1)
    assert clock.slept == pytest.approx([1 / 3] * 6)


def test_a_debt_of_more_than_an_hour_is_not_forgotten() -> None:
    clock = FakeClock()
    pace = _pace(clock, 3_000)
    pace.wait(250_000)
    for _ in range(3):
        with pytest.raises(RateLimited):
            pace.wait(250_000)
        clock.advance(-2)  # as the clock of another machine may say
    clock.advance(3_700)
    pace.wait(250_000)


def test_what_is_owed_is_used_at_once_and_others_wait_for_it() -> None:
    clock = FakeClock()
    pace = _pace(clock)
    pace.wait(30)
    for _ in range(5):
        pace.owe(1)
    assert clock.slept == []
    with pytest.raises(RateLimited) as caught:
        pace.wait(1)
    assert caught.value.retry_after_s == pytest.approx(35, abs=3)
    _pace(clock, 0).owe(10)


def test_whoever_is_refused_again_stays_away_longer_until_an_answer() -> None:
    clock = FakeClock()
    backoff = Backoff(clock.now)
    waits = []
    for asked_s in (None, 0.0, 1.0, 300.0, None, None, None, None):
        wait_s = backoff.refused(backoff.enter(), asked_s)
        waits.append(wait_s)
        if wait_s is not None:
            with pytest.raises(RateLimited) as caught:
                backoff.enter()
            assert caught.value.retry_after_s == pytest.approx(wait_s)
            clock.advance(wait_s)
    assert waits == [None, 2, 4, 300, 16, 32, 60, 60]
    backoff.answered(backoff.enter())
    assert backoff.refused(backoff.enter(), 7.0) == 7.0
    assert not backoff.is_repeated


def test_refusals_of_the_same_moment_are_one() -> None:
    backoff = Backoff(FakeClock().now)
    tickets = [backoff.enter() for _ in range(4)]
    assert [backoff.refused(ticket, None) for ticket in tickets[:3]] == [None] * 3
    backoff.answered(tickets[3])  # it was asked before the others were refused
    assert backoff.refused(backoff.enter(), None) == 2


def test_a_whim_of_a_service_does_not_stop_everything_for_a_day() -> None:
    clock = FakeClock()
    backoff = Backoff(clock.now)
    for _ in range(2):
        backoff.refused(backoff.enter(), 86_400.0)
    clock.advance(600)
    for _ in range(5_000):
        assert math.isfinite(backoff.refused(backoff.enter(), None) or 0)
        clock.advance(60)


def test_a_pause_holds_everybody_but_never_for_a_day() -> None:
    clock = FakeClock()
    pace = _pace(clock)
    for seconds in (None, 0.0, 20.0, 20.0, 7.0):
        pace.pause(seconds)
    with pytest.raises(RateLimited) as caught:
        pace.wait(1)
    assert caught.value.retry_after_s == pytest.approx(20)
    clock.advance(18)
    pace.wait(1)
    assert clock.slept == pytest.approx([2.0])
    pace.pause(86_400)
    clock.advance(600)
    pace.wait(1)
    unlimited = _pace(clock, 0)
    unlimited.pause(60)
    unlimited.wait(1)


def test_the_name_of_a_limit_does_not_show_the_key() -> None:
    name = limit_name("api.openai.com", "sk-secret\n", "tokens")
    assert name == limit_name("api.openai.com", "sk-secret", "tokens")
    assert "secret" not in name
    others = [("api.openai.com", "sk-other", "tokens"), ("localhost", "sk-secret", "tokens")]
    assert len({name, *(limit_name(*each) for each in others)}) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("999999", 86_400.0),
        ("Thu, 01 Jan 1970 00:01:30 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:01:30 -0000", 90.0),
        ("Wed, 31 Dec 1969 00:00:00 GMT", 0.0),
        ("inf", None),
        ("Fri, 31 Dec 1999 23:59:59 +9999999999999", None),
        ("9" * 400, None),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_seconds_or_a_date_never_longer_than_a_day(text: str, expected: float | None) -> None:
    assert retry_after_s(text, now=0.0) == expected
