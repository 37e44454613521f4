"""What ``Retry-After`` asks for, by any service, and how a rate is kept."""

import pytest

from s3_to_milvus.adapters.limits import MemoryLimits, limit_name
from s3_to_milvus.adapters.pacing import Pace, retry_after_s
from s3_to_milvus.errors import RateLimited
from s3_to_milvus.testing.fakes.clock import FakeClock


def _pace(clock: FakeClock, per_minute: float = 60) -> Pace:
    return Pace(per_minute, limits=MemoryLimits(clock.now, clock.sleep))


def test_a_rate_per_minute_waits_a_little_and_leaves_long_waits_to_the_queue() -> None:
    clock = FakeClock()
    pace = _pace(clock)
    for _ in range(61):
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
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_seconds_or_a_date_never_longer_than_a_day(text: str, expected: float | None) -> None:
    assert retry_after_s(text, now=0.0) == expected
