"""What every clock must do."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_to_milvus.ports import Clock

__all__ = ["ClockContract"]


class ClockContract:
    """Inherit it and provide ``clock``."""

    @pytest.fixture
    def clock(self) -> Clock:
        """A new clock."""
        raise NotImplementedError

    def test_sleeping_takes_that_long(self, clock: Clock) -> None:
        """Time moves by what was slept, at least."""
        before = clock.now()
        clock.sleep(0.02)
        assert clock.now() - before >= 0.015

    def test_sleeping_no_time_returns_at_once(self, clock: Clock) -> None:
        """Zero and negative waits are no error."""
        before = clock.now()
        clock.sleep(0)
        clock.sleep(-5)
        assert 0 <= clock.now() - before < 1

    def test_tokens_are_never_given_twice(self, clock: Clock) -> None:
        """Not to several threads either."""
        with ThreadPoolExecutor(4) as pool:
            tokens = list(pool.map(lambda _: clock.token(), range(2_000)))
        assert len(set(tokens)) == 2_000
        assert all(tokens)

    def test_jitter_is_spread_over_its_range(self, clock: Clock) -> None:
        """0 <= value < 1, and not always the same."""
        drawn = [clock.jitter() for _ in range(200)]
        assert all(0 <= value < 1 for value in drawn)
        assert min(drawn) < 0.3
        assert max(drawn) > 0.7
