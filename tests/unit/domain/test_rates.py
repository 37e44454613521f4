"""A rate that is shared lets through what it allows, and forgets nothing but nonsense."""

import math
import random

import pytest

from s3_to_milvus.domain.rates import MOST_DEBT_S, Reserved, reserved


def test_what_was_not_used_lately_may_be_used_at_once():
    free_at, waits = None, []
    for _ in range(6):
        wait_s, free_at = reserved(free_at, 1, 0.5, 1.0, 100.0)
        waits.append(wait_s)
    assert waits == [0, 0, 0, 0.5, 1.0, 1.5]
    assert reserved(free_at, 1, 0.5, 1.0, 200.0).wait_s == 0


def test_a_wait_that_is_too_long_reserves_nothing():
    first = reserved(None, 100, 0.5, 0.0, 100.0, most_s=5.0)
    assert first == Reserved(0.0, 150.0)
    assert reserved(first.free_at, 1, 0.5, 0.0, 100.0, most_s=5.0) == (50.0, None)
    assert reserved(first.free_at, 1, 0.5, 0.0, 145.0, most_s=5.0) == (5.0, 150.5)


def test_a_pause_moves_the_rate_on_and_pauses_do_not_add_up():
    wait_s, free_at = reserved(None, 0, 0.0, -20.0, 100.0)
    assert (wait_s, free_at) == (20.0, 120.0)
    assert reserved(free_at, 0, 0.0, -20.0, 101.0).free_at == 121.0
    assert reserved(free_at, 0, 0.0, -5.0, 101.0).free_at == 120.0
    assert reserved(free_at, 1, 0.5, 60.0, 110.0) == (10.0, 120.5)


def test_what_a_wrong_clock_wrote_does_not_stop_everything():
    assert reserved(100.0 + 10 * 86_400, 1, 0.5, 1.0, 100.0) == (0.0, 99.5)
    assert reserved(100.0 + 3_600, 1, 0.5, 1.0, 100.0).wait_s == 3_600


def test_a_debt_that_was_really_made_is_never_taken_for_a_wrong_clock():
    first = reserved(None, 250_000, 0.02, 0.0, 100.0)
    assert first == Reserved(0.0, 100.0 + MOST_DEBT_S)
    for now in (50.0, 100.0, 3_000.0):  # clocks of two machines differ a little
        assert reserved(first.free_at, 1, 0.02, 0.0, now, most_s=5.0) == (3_700.0 - now, None)
    assert reserved(first.free_at, 1, 0.02, 0.0, 3_700.0).wait_s == 0


@pytest.mark.parametrize("seed", range(20))
def test_no_stretch_of_time_sees_more_than_the_rate(seed: int):
    chance = random.Random(seed)
    interval_s, burst_s = chance.choice((0.1, 1.0, 7.0)), chance.choice((0.0, 1.0, 60.0))
    now, free_at, used = 1_700_000_000.0, None, []
    for _ in range(300):
        now += chance.choice((0.0, 0.0, interval_s / 3, 5 * interval_s, burst_s / 7))
        amount = chance.choice((0.5, 1.0, 4.0))
        wait_s, after = reserved(free_at, amount, interval_s, burst_s, now, most_s=chance.choice((5.0, math.inf)))
        if after is not None:
            free_at = after
            used.append((now + wait_s, amount))
    for at, (start, _) in enumerate(used):
        total = 0.0
        for end, amount in used[at:]:
            assert total <= (end - start + burst_s) / interval_s + 1e-3
            total += amount
