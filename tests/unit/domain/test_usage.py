"""What was used is added up and shared without losing or making a token."""

import random

import pytest

from s3_to_milvus.domain.usage import Usage


def test_sums_and_prices_are_whole_numbers():
    one = Usage.of(tokens=1, usd=0.13 / 1e6)
    assert one == Usage(tokens=1, nano_usd=130)
    assert sum([one] * 1_000_000, Usage()) == Usage.of(tokens=1_000_000, usd=0.13)
    assert Usage.of(pages=3, usd=0.03).usd == 0.03
    assert not Usage()
    assert all((Usage(tokens=1), Usage(pages=1), Usage(nano_usd=1)))


@pytest.mark.parametrize("seed", range(50))
def test_shares_are_together_the_whole_and_each_is_near_its_part(seed: int):
    chance = random.Random(seed)
    whole = Usage(chance.randrange(10**6), chance.randrange(10), chance.randrange(10**12))
    weights = [chance.choice((0, 1, 3, chance.randrange(10**7))) for _ in range(chance.randrange(1, 40))]
    shares = whole.shared(weights)
    assert sum(shares, Usage()) == whole
    for weight, share in zip(weights, shares, strict=True):
        if total := sum(weights):
            assert abs(share.tokens - whole.tokens * weight / total) <= 1
            assert abs(share.nano_usd - whole.nano_usd * weight / total) <= 1
            assert weight or not share


def test_where_nobody_contributed_more_all_bear_alike():
    assert Usage(tokens=7).shared([0, 0, 0]) == [Usage(tokens=2), Usage(tokens=2), Usage(tokens=3)]
