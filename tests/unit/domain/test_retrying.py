"""When somebody comes again who was asked to: not sooner, and never at once."""

import pytest

from s3_to_milvus.domain.retrying import RetryPolicy, TryAgain, next_step
from s3_to_milvus.errors import RateLimited, Unavailable


@pytest.mark.parametrize("asked_s", [0.0, 0.01, 0.9, 1.0, 7.0, 900.0])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_a_time_that_is_named_is_waited_for_and_a_second_at_least(asked_s: float, jitter: float) -> None:
    for error in (RateLimited("x", retry_after_s=asked_s), Unavailable("x", retry_after_s=asked_s)):
        step = next_step(error, 1, RetryPolicy(), jitter)
        assert isinstance(step, TryAgain)
        assert step.is_charged == isinstance(error, Unavailable)
        assert step.delay_s == pytest.approx(max(asked_s, 1.0) + jitter)


def test_those_who_were_refused_together_do_not_come_together() -> None:
    error = RateLimited("x", retry_after_s=0.0)
    steps = {next_step(error, 1, RetryPolicy(), number / 10) for number in range(10)}
    assert len(steps) == 10
