"""Errors that no retry mends by itself: which of them hold everything, and which only what they concern."""

import pytest
import structlog

from s3_to_milvus.domain.records import Outcome
from s3_to_milvus.errors import Forbidden, SchemaMismatch, Unauthorized
from s3_to_milvus.testing.fakes.object_store import MemoryObjectStore
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.unit.engine.house import BUCKET, House


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


def test_a_fatal_error_holds_the_queue_and_burns_no_attempt(tmp_path):
    house = House(tmp_path)
    house.store.outage = Unauthorized("bad key")
    refs = [house.put(f"a/{n}.txt", "one") for n in range(3)]
    with pytest.raises(Unauthorized):
        house.worker.step()
    assert all(house.ledger.status(ref).attempts == 0 for ref in refs)
    house.store.outage = None
    house.later(60)
    assert all(house.outcome(ref) is Outcome.INDEXED for ref in refs)


def test_what_goes_into_a_collection_that_cannot_be_made_is_read_once(tmp_path):
    """Such as one more than a server allows."""
    vectors, parser = _Full(), FakeParser()
    house = House(tmp_path, vectors=vectors, parsers=[parser])
    other, refused = house.put("IT/b.txt", "other"), house.put("HR/a.txt", "one")
    for _ in range(4):
        house.later(61)
    assert house.outcome(other) is Outcome.INDEXED
    status = house.ledger.status(refused)
    assert (status.error_code, status.attempts) == ("schema_mismatch", 0)
    assert "Use routes." in status.error
    assert (house.embedder.embedded, parser.calls) == (["b\nother"], 2)
    assert [each.message for each in house.collections.blocked] == ["Too many collections."]
    vectors.full = ""
    house.later(61)
    assert house.outcome(refused) is Outcome.INDEXED
    assert house.collections.blocked == []


class _Full(MemoryVectorStore):
    full = "HR"

    def ensure(self, spec, after_id=0):
        if spec.name == self.full:
            raise SchemaMismatch("Too many collections.", hint="Use routes.")
        super().ensure(spec, after_id)


def test_an_object_that_may_not_be_read_holds_nothing_up(tmp_path):
    """Such as one encrypted by a key that we may not use."""
    store = _Locked([BUCKET])
    house = House(tmp_path, stores={BUCKET: store})
    house.store = store
    locked, others = house.put("a/locked.txt", "one"), [house.put(f"a/{n}.txt", "one") for n in range(3)]
    house.work()
    assert all(house.outcome(ref) is Outcome.INDEXED for ref in others)
    status = house.ledger.status(locked)
    assert (status.attempts, status.error_code) == (1, "forbidden")
    assert "Grant" in status.error
    store.locked = ""
    house.later(2)
    assert house.outcome(locked) is Outcome.INDEXED


class _Locked(MemoryObjectStore):
    locked = "a/locked.txt"

    def get(self, ref, unless=None):
        if ref.key == self.locked:
            raise Forbidden("AccessDenied", hint="Grant kms:Decrypt.")
        return super().get(ref, unless)
