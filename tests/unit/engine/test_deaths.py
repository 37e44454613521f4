"""Objects whose workers died: who is blamed, and what it costs them."""

import pytest

from s3_to_milvus.domain.records import Outcome
from tests.unit.engine.house import BUCKET, House


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def _die(house: House, times: int) -> None:
    """So many processes claim what is due, and are killed at once."""
    for number in range(times):
        house.clock.advance(2)
        house.ledger.claim(f"killed {number}", 10, house.clock.now(), 1.0)
    house.clock.advance(2)


def test_a_file_that_stands_already_is_not_blamed_for_deaths(house):
    ref = house.put("a/x.txt", "one\n\ntwo")
    house.work()
    house.observe("a/x.txt")
    _die(house, 6)
    house.work()
    assert house.outcome(ref) is Outcome.INDEXED
    assert house.texts() == ["one", "two"]


def test_a_file_that_is_gone_is_removed_whatever_died(house):
    ref = house.put("a/x.txt", "one")
    house.work()
    house.store.delete(BUCKET, "a/x.txt")
    house.observe("a/x.txt")
    _die(house, 6)
    house.work()
    assert house.ledger.status(ref) is None
    assert house.texts() == []


def test_a_new_version_that_was_claimed_when_services_died_is_read(house):
    house.put("a/x.txt", "one")
    house.work()
    house.put("a/x.txt", "two")
    _die(house, 5)
    house.work()
    assert house.texts() == ["two"]
