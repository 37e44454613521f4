"""Clocks keep the contract."""

import pytest

from s3_to_milvus.adapters.clock import SystemClock
from s3_to_milvus.ports import Clock
from s3_to_milvus.testing.contracts.clock import ClockContract
from s3_to_milvus.testing.fakes.clock import FakeClock


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()


class TestFakeClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return FakeClock()

    def test_time_stands_still_by_itself(self) -> None:
        clock = FakeClock(now=5.0)
        assert clock.now() == clock.now() == 5.0
        clock.advance(-2)
        assert clock.now() == 3.0

    def test_same_seed_same_chance(self) -> None:
        one, other = FakeClock(seed=7), FakeClock(seed=7)
        assert [one.jitter() for _ in range(5)] == [other.jitter() for _ in range(5)]
