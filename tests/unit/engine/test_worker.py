"""One worker over fakes: create, replace, remove, failures, and what must not be done twice."""

import pytest
import structlog

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import ObjectState, Outcome
from s3_to_milvus.domain.routing import Route
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.errors import Archived, Superseded, Unavailable, UnreadableDocument
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.unit.engine.house import BUCKET, House


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_new_object_becomes_rows_of_its_folder(house):
    ref = house.put("인사/휴가.txt", "하나\n\n둘")
    house.work()
    record = house.record(ref)
    assert record.outcome is Outcome.INDEXED
    assert record.chunk_count == 2
    (label,) = [each.spec.label for each in house.ledger.collections()]
    assert label == "인사"
    row = next(iter(house.vectors.rows(record.collection).values()))
    assert (row.bucket, row.file_key, row.file_name, row.object_id) == (BUCKET, ref.key, "휴가.txt", ref.object_id)
    assert row.run == record.run
    assert house.ledger.next_due() is None


def test_a_changed_object_leaves_nothing_of_the_version_before(house):
    ref = house.put("a/x.txt", "one\n\ntwo\n\nthree")
    house.work()
    house.put("a/x.txt", "one\n\nfour")
    house.work()
    assert house.texts() == ["one", "four"]
    assert len(house.record(ref).ids) == 2


def test_only_changed_chunks_are_embedded_again(house):
    house.put("a/x.txt", "one\n\ntwo\n\nthree")
    house.work()
    house.put("a/x.txt", "one\n\n2\n\nthree")
    house.work()
    assert [done.stats.embedded for done in house.done] == [3, 1]
    assert house.texts() == ["one", "2", "three"]


def test_the_same_bytes_under_a_new_etag_are_not_parsed_again(house):
    ref = house.put("a/x.txt", "one\n\ntwo")
    house.work()
    first = house.record(ref)
    house.put("a/x.txt", "one\n\ntwo")
    house.work()
    second = house.record(ref)
    assert second.run == first.run
    assert second.version != first.version
    assert [done.stats.embedded for done in house.done] == [2, 0]
    assert house.texts() == ["one", "two"]


def test_an_event_for_an_unchanged_object_opens_nothing(house):
    house.put("a/x.txt", "one")
    house.work()
    opened = house.store.opened
    house.observe("a/x.txt")
    house.work()
    assert house.store.opened == opened
    assert house.done[-1].outcome == "unchanged"


def test_a_removed_object_is_forgotten_with_its_rows(house):
    ref = house.put("a/x.txt", "one")
    house.work()
    house.store.delete(BUCKET, "a/x.txt")
    house.observe("a/x.txt")
    house.work()
    assert house.texts() == []
    assert house.ledger.status(ref) is None


def test_an_event_for_what_never_was_leaves_no_trace(house):
    ref = house.observe("never.txt")
    house.work()
    assert house.ledger.status(ref) is None


def test_an_outage_of_the_store_removes_nothing_and_is_tried_again(house):
    ref = house.put("a/x.txt", "one")
    house.work()
    house.store.outage = Unavailable("the store is down")
    house.observe("a/x.txt")
    house.work()
    assert house.texts() == ["one"]
    assert house.ledger.status(ref).state is ObjectState.WAITING
    house.store.outage = None
    house.later(5)
    assert house.ledger.status(ref).state is ObjectState.INDEXED


def test_a_bucket_that_vanished_removes_nothing(house):
    house.put("a/x.txt", "one")
    house.work()
    house.store.delete_bucket(BUCKET)
    house.observe("a/x.txt")
    house.work()
    assert house.texts() == ["one"]


def test_bytes_without_text_are_empty_not_a_success(house):
    ref = house.put("a/x.txt", " ")
    nothing = house.put("a/none.txt", "")
    house.work()
    assert house.outcome(ref) is Outcome.EMPTY
    assert house.outcome(nothing) is Outcome.EMPTY


def test_an_unsupported_file_is_buried_with_the_reason_and_stops_nothing_else(house):
    bad = house.put("a/x.zip", "PK")
    good = house.put("a/y.txt", "one")
    house.work()
    assert house.outcome(bad) is Outcome.FAILED
    assert house.record(bad).error_code == "unsupported_format"
    assert "A application/zip file" in house.record(bad).error
    assert house.outcome(good) is Outcome.INDEXED
    house.observe("a/x.zip")
    house.later(1_000)
    assert house.ledger.status(bad).attempts == 1 or house.outcome(bad) is Outcome.FAILED
    assert house.ledger.next_due() is None


class _Parser(FakeParser):
    """Fails as told."""

    def __init__(self, *errors):
        super().__init__()
        self.errors = list(errors)

    def parse(self, source):
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return super().parse(source)


def test_a_failed_new_version_takes_the_old_rows_away_unless_told_otherwise(tmp_path):
    for is_kept, wanted in ((False, []), (True, ["one"])):
        config = EngineConfig(keep_rows_of_failed=is_kept)
        house = House(tmp_path, config=config, parsers=[_Parser(None, UnreadableDocument("broken"))])
        ref = house.put("a/x.txt", "one")
        house.work()
        house.put("a/x.txt", "two")
        house.work()
        assert house.texts() == wanted
        assert house.outcome(ref) is Outcome.FAILED
        assert house.ledger.next_due() is None


def test_a_failed_file_is_tried_again_when_a_person_asks_or_when_it_changes(tmp_path):
    house = House(tmp_path, parsers=[_Parser(UnreadableDocument("broken"))])
    ref = house.put("a/x.txt", "one")
    house.work()
    assert house.outcome(ref) is Outcome.FAILED
    assert house.ledger.requeue(None, house.clock.now()) == 1
    house.work()
    assert house.outcome(ref) is Outcome.INDEXED
    assert house.texts() == ["one"]


def test_an_archived_object_keeps_its_rows(house):
    ref = house.put("a/x.txt", "one")
    house.work()
    house.store.outage = Archived("GLACIER")
    house.put("a/x.txt", "two")
    house.work()
    assert house.outcome(ref) is Outcome.FAILED
    assert house.texts() == ["one"]


def test_a_defect_is_tried_three_times_and_then_buried(tmp_path):
    parser = _Parser(*[KeyError("secret text")] * 9)
    house = House(tmp_path, parsers=[parser])
    ref = house.put("a/x.txt", "one")
    for _ in range(5):
        house.later(1_000)
    record = house.record(ref)
    assert record.outcome is Outcome.FAILED
    assert record.error_code == "defect"
    assert "secret text" not in record.error
    assert len(parser.errors) == 6


def test_an_object_replaced_while_it_is_read_is_read_again(tmp_path):
    house = House(tmp_path, parsers=[_Parser(Superseded("changed"))])
    ref = house.put("a/x.txt", "one")
    house.work()
    house.later(1)
    assert house.outcome(ref) is Outcome.INDEXED


def test_one_refused_text_does_not_fail_its_neighbours(house):
    bad = house.put("a/bad.txt", f"fine\n\n{house.embedder.refused}")
    good = house.put("a/good.txt", "fine too")
    house.work()
    assert house.outcome(bad) is Outcome.FAILED
    assert house.outcome(good) is Outcome.INDEXED
    assert house.texts() == ["fine too"]


class _Vectors:
    """Fails an insert or a delete, applied or not, as told."""

    def __init__(self, inner):
        self.inner = inner
        self.fail_insert: list[tuple[bool, Exception]] = []
        self.fail_delete: list[Exception] = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def insert(self, collection, rows):
        if not self.fail_insert:
            return self.inner.insert(collection, rows)
        is_applied, error = self.fail_insert.pop(0)
        if is_applied:
            self.inner.insert(collection, rows)
        raise error

    def delete(self, collection, ids):
        if self.fail_delete:
            raise self.fail_delete.pop(0)
        self.inner.delete(collection, ids)


@pytest.mark.parametrize("is_applied", [True, False])
def test_an_insert_whose_end_nobody_knows_leaves_no_doubled_rows(tmp_path, is_applied):
    vectors = _Vectors(MemoryVectorStore())
    house = House(tmp_path, vectors=vectors)
    vectors.fail_insert.append((is_applied, Unavailable("cut")))
    house.put("a/x.txt", "one\n\ntwo")
    house.work()
    house.later(10)
    assert house.texts() == ["one", "two"]
    house.later(10_000)
    assert house.texts() == ["one", "two"]
    assert house.ledger.next_due() is None


def test_wide_vectors_go_in_smaller_requests(tmp_path):
    """A Milvus server takes 64 MiB at once."""
    sizes = []

    class Measured(MemoryVectorStore):
        def insert(self, collection, rows):
            sizes.append(sum(row.vector.nbytes for row in rows))
            return super().insert(collection, rows)

    house = House(tmp_path, embedder=FakeEmbedder(dim=2**19), vectors=Measured())
    house.put("a/x.txt", "\n\n".join(f"text {number}" for number in range(40)))
    house.work()
    assert (len(house.texts()), sum(sizes)) == (40, 40 * 2**21)
    assert max(sizes) == 32 * 2**20


def test_a_file_that_fails_for_good_with_unknown_rows_is_cleaned_up_before_it_is_buried(tmp_path):
    """Some rows are inserted, the rest is refused, and the clean-up fails, too."""
    vectors = _Vectors(MemoryVectorStore())
    house = House(tmp_path, config=EngineConfig(load_rows=2), vectors=vectors)
    vectors.fail_delete.append(Unavailable("cut"))
    ref = house.put("a/x.txt", f"one\n\ntwo\n\n{house.embedder.refused}")
    house.work()
    assert house.texts() == ["one", "two"]
    assert house.outcome(ref) is None
    house.later(10)
    assert house.texts() == []
    assert house.outcome(ref) is Outcome.FAILED


def test_garbage_whose_deletion_failed_is_deleted_later(tmp_path):
    vectors = _Vectors(MemoryVectorStore())
    house = House(tmp_path, vectors=vectors)
    house.put("a/x.txt", "one")
    house.work()
    vectors.fail_delete.append(Unavailable("cut"))
    house.put("a/x.txt", "two")
    house.work()
    assert house.texts() == ["one", "two"]
    house.later(10)
    assert house.texts() == ["two"]
    assert house.ledger.next_due() is None


def test_a_large_document_is_inserted_in_pieces_and_never_whole_in_memory(tmp_path):
    config = EngineConfig(inline_bytes=1_000, load_rows=10)
    house = House(tmp_path, config=config)
    ref = house.put("a/big.txt", "\n\n".join(f"paragraph {n}" for n in range(500)))
    house.work()
    assert house.record(ref).chunk_count == 500
    assert len(house.record(ref).ids) == 500
    assert house.texts()[499] == "paragraph 499"
    assert list(tmp_path.iterdir()) == [], "the scratch file is gone"


def test_a_file_over_the_limit_says_which_limit(tmp_path):
    house = House(tmp_path, config=EngineConfig(max_object_bytes=2 << 20, inline_bytes=10))
    ref = house.put("a/big.txt", b"x" * (3 << 20))
    house.work()
    assert house.record(ref).error_code == "document_too_large"
    assert "S2M_ENGINE__MAX_OBJECT_MB" in house.record(ref).error


def test_rows_that_vanished_are_made_again_when_the_claim_is_suspect(house):
    ref = house.put("a/x.txt", "one\n\ntwo")
    house.work()
    name = house.record(ref).collection
    house.vectors.delete(name, [house.record(ref).rows])
    house.observe("a/x.txt")
    house.ledger.claim("dead", 10, house.clock.now(), 1.0)
    house.later(2)
    assert house.texts() == ["one", "two"]


def test_a_route_that_leads_nowhere_removes_what_was_indexed(tmp_path):
    house = House(tmp_path)
    ref = house.put("tmp/x.txt", "one")
    house.work()
    ignoring = House(
        tmp_path, routes=[Route(), Route(prefix="tmp/", is_ignored=True)], ledger=house.ledger, vectors=house.vectors
    )
    house.observe("tmp/x.txt")
    ignoring.work()
    assert house.texts() == []
    assert house.ledger.status(ref) is None


def test_many_files_share_few_inserts(tmp_path):
    vectors = _Counting(MemoryVectorStore())
    house = House(tmp_path, vectors=vectors)
    for n in range(20):
        house.put(f"a/{n}.txt", "one\n\ntwo")
    house.work()
    assert vectors.inserts == 3, "40 rows in loads of the 16 texts that the embedder takes at once"
    assert len(house.texts()) == 40


class _Counting:
    def __init__(self, inner):
        self.inner = inner
        self.inserts = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def insert(self, collection, rows):
        self.inserts += 1
        return self.inner.insert(collection, rows)


def test_an_unknown_bucket_waits_and_says_so(house):
    ref = ObjectRef("elsewhere", "x.txt")
    house.ledger.observe([ref], "live", house.clock.now())
    house.work()
    status = house.ledger.status(ref)
    assert status.state is ObjectState.WAITING
    assert "elsewhere" in status.error
