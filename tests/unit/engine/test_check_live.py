"""The check beside workers that are at work: it accuses nobody, and a repair deletes nothing that is true."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3_to_milvus.domain.rows import RowIdentity
from s3_to_milvus.engine.check import Checker
from s3_to_milvus.engine.scan import Scanner
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.unit.engine.house import BUCKET, House


class _Vectors:
    """Lists rows as they are, and lets something happen right afterwards."""

    def __init__(self) -> None:
        self.inner = MemoryVectorStore()
        self.then: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def identities(self, collection: str) -> Iterator[RowIdentity]:
        found = list(self.inner.identities(collection))
        then, self.then = self.then, lambda: None
        then()
        return iter(found)


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, vectors=_Vectors())
    house.put("one.txt", "one\n\ntwo")
    house.put("other.txt", "other")
    house.work()
    return house


def _check(house: House, *, is_repairing: bool = False) -> Any:
    checker = Checker(house.parts, Scanner(house.parts, lambda ref: True))
    return checker.check([(BUCKET, "")], is_repairing=is_repairing)


def test_what_is_replaced_meanwhile_is_not_accused(house):
    def replace() -> None:
        house.put("one.txt", "three")
        house.work()

    house.vectors.then = replace
    assert _check(house, is_repairing=True).is_ok
    assert house.texts() == ["three", "other"]


def test_what_is_new_or_goes_meanwhile_is_not_accused(house):
    def change() -> None:
        house.put("new.txt", "new")
        house.store.delete(BUCKET, "other.txt")
        house.observe("other.txt")
        house.work()

    house.vectors.then = change
    assert _check(house, is_repairing=True).is_ok
    assert house.texts() == ["new", "one", "two"]


def test_rows_that_become_true_meanwhile_are_not_deleted_as_orphans(house):
    commit = house.ledger.commit
    listed: list[Any] = []

    def check_before_commit(commits: Any, now: float) -> Any:
        """The check lists the rows while they are in nobody's record, and judges when they are in one."""
        house.ledger.commit = commit
        rows = {name: list(house.vectors.inner.identities(name)) for name in house.vectors.inner.collections()}
        answer = commit(commits, now)
        listed.append(rows)
        return answer

    records = list(house.ledger.records())
    house.ledger.commit = check_before_commit
    house.put("one.txt", "three\n\nfour")
    house.work()
    house.vectors.identities = lambda name: iter(listed[0][name])
    house.ledger.records = lambda *_: iter(records)
    _check(house, is_repairing=True)
    assert house.texts() == ["three", "four", "other"]
