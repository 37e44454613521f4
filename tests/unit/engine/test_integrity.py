"""How a collection that is not what the ledger says shows, and what is done about it."""

from dataclasses import replace

import pytest
import structlog

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import Outcome
from s3_to_milvus.domain.rows import IdRanges, RowSet
from s3_to_milvus.engine.integrity import IntegrityMonitor, inspect
from s3_to_milvus.errors import Unavailable, UnreadableDocument
from s3_to_milvus.ports import Incident, SourceEntry
from s3_to_milvus.testing.fakes.parser import FakeParser
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore, StoreCopy
from tests.unit.engine.house import BUCKET, House


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
def house(tmp_path):
    """Three objects of one row each in one collection."""
    house = House(tmp_path)
    for number in range(3):
        house.put(f"team/{number}.txt", f"text {number}")
    house.work()
    return house


def counts(house, name=""):
    return next(each for each in house.ledger.collections() if name in ("", each.spec.name))


def difference(house):
    found = inspect(house.vectors, house.ledger, counts(house))
    return found and found.what


def delete(house, key):
    record = house.record(ObjectRef(BUCKET, key))
    house.vectors.delete(record.collection, [record.rows])


def insert(house, key, **more):
    """A row like another one."""
    record = house.record(ObjectRef(BUCKET, "team/0.txt"))
    row = house.vectors.rows(record.collection)[record.ids.last]
    ref = ObjectRef(more.get("bucket", BUCKET), key)
    made = replace(row, file_key=key, object_id=ref.object_id, **more)
    return house.vectors.insert(record.collection, [made])[0]


def test_what_is_equal_shows_nothing(house):
    assert difference(house) is None
    assert IntegrityMonitor(house.parts).look() == 0


def test_missing_rows_are_counted(house):
    delete(house, "team/0.txt")
    assert difference(house) == "1 of 3 rows are missing"


def test_the_newest_row_is_missed_though_the_number_is_right(house):
    delete(house, "team/2.txt")
    insert(house, "team/other.txt", run=77)
    assert difference(house) == "its newest rows are missing"


def test_rows_that_are_newer_than_the_ledger_show(house):
    delete(house, "team/1.txt")
    insert(house, "team/newer.txt", run=99)
    assert difference(house) == "it holds rows that are newer than the ledger"


def test_rows_too_many_show(house):
    house.ledger.set_collection(counts(house).spec.name, after_id=10)
    insert(house, "team/other.txt", run=77)
    assert difference(house) == "1 rows too many stand in it"


def test_a_collection_that_was_made_anew_shows_by_its_mark(house):
    house.vectors.put_mark(counts(house).spec.name, "")
    assert difference(house) == "it was removed or made anew"


def test_another_ledger_shows_by_its_mark(house):
    house.vectors.put_mark(counts(house).spec.name, "0" * 32)
    assert difference(house) == "another ledger has written into it"


def test_what_is_missing_is_made_again_and_what_is_too_many_goes(house):
    delete(house, "team/1.txt")
    insert(house, "team/0.txt", run=77)
    monitor = IntegrityMonitor(house.parts)
    assert monitor.look() == 2
    assert "0 of 2 documents were made good by now" in monitor.warnings[0]
    house.work()
    assert house.texts() == ["text 0", "text 1", "text 2"]
    assert house.embedder.embedded.count("1\ntext 1") == 2, "only what was missing is made again"
    assert house.embedder.embedded.count("0\ntext 0") == 1
    assert "2 of 2 documents were made good by now." in monitor.warnings[0]
    assert monitor.look() == 0
    assert monitor.warnings == []


def test_rows_of_objects_nobody_knows_go_once_all_sources_were_scanned(house):
    insert(house, "team/unknown.txt", run=77)
    monitor = IntegrityMonitor(house.parts)
    monitor.look()
    assert len(house.texts()) == 4, "a scan may know them"
    monitor.scanned(SourceEntry("another", "s3://another"))
    monitor.tick()
    assert len(house.texts()) == 4, "that source has no such object"
    monitor.scanned(SourceEntry(BUCKET, f"s3://{BUCKET}/team", "team/"))
    monitor.tick()
    assert house.texts() == ["text 0", "text 1", "text 2"]
    monitor.look()
    assert monitor.warnings == []


def test_rows_of_another_service_are_left_and_said_once_all_were_compared(house):
    """They come from a bucket that is none of our sources. They are not listed again with every scan."""
    insert(house, "gone.txt", run=77)
    insert(house, "theirs.txt", run=77, bucket="elsewhere")
    monitor = IntegrityMonitor(house.parts)
    monitor.scanned(SourceEntry(BUCKET, f"s3://{BUCKET}"))
    monitor.look()
    rows = house.vectors.rows(counts(house).spec.name).values()
    assert sorted(row.file_key for row in rows) == ["team/0.txt", "team/1.txt", "team/2.txt", "theirs.txt"]
    assert "1 documents stand in it that no scanned source has" in monitor.warnings[0]
    house.vectors.identities = None  # nobody may ask for all rows any more
    monitor.look()
    monitor.tick()
    delete(house, "team/2.txt")
    assert "could not be compared" in (monitor.look(), monitor.warnings[0])[1], "but once something is missing"


def test_an_outage_of_a_source_deletes_no_row_of_it(house):
    """The ledger is lost and the bucket is away: nothing says that the objects are gone."""
    name = counts(house).spec.name
    heir = House(house.parts.scratch, vectors=house.vectors)
    heir.ledger.put_source(SourceEntry(BUCKET, f"s3://{BUCKET}"))
    monitor = IntegrityMonitor(heir.parts)
    monitor.look()
    monitor.tick()
    assert house.vectors.count(name) == 3
    monitor.scanned(SourceEntry(BUCKET, f"s3://{BUCKET}"))
    monitor.tick()
    assert house.vectors.count(name) == 0


def test_a_second_service_on_the_same_collection_is_told_apart_and_nothing_is_repaired(house):
    monitor = IntegrityMonitor(house.parts)
    monitor.look()
    house.vectors.put_mark(counts(house).spec.name, "0" * 32)
    delete(house, "team/0.txt")
    assert monitor.look() == 0
    assert "Another s3-to-milvus has written into the collection" in monitor.warnings[0]
    assert house.vectors.mark(counts(house).spec.name) == "0" * 32


def test_surplus_rows_of_work_that_is_under_way_are_not_taken_for_damage(house):
    house.observe("team/later.txt")
    insert(house, "team/later.txt", run=99)
    monitor = IntegrityMonitor(house.parts)
    assert monitor.look() == 0
    assert monitor.warnings == []
    assert monitor.tick() == 0, "work is under way"
    assert monitor.look() == 1, "but when it is still so at the next scan"


def test_surplus_rows_are_looked_at_as_soon_as_no_work_is_under_way(house):
    ref = house.observe("team/0.txt")
    insert(house, "team/0.txt", run=99)
    monitor = IntegrityMonitor(house.parts)
    assert monitor.look() == 0
    house.work()
    assert monitor.tick() == 1
    house.work()
    assert house.texts() == ["text 0", "text 1", "text 2"]
    assert house.outcome(ref) is Outcome.INDEXED


def test_an_incident_is_looked_at_without_a_scan(house):
    monitor = IntegrityMonitor(house.parts)
    monitor.look()
    name = counts(house).spec.name
    delete(house, "team/1.txt")
    house.vectors._incidents.append(Incident(name, "the end of its log is torn"))
    assert monitor.tick() == 1
    assert "the end of its log is torn" in monitor.warnings[0]
    house.work()
    monitor.tick()
    assert monitor.warnings == []
    assert monitor.tick() == 0


def test_a_comparison_that_was_cut_off_is_begun_again(house):
    house.ledger.set_collection(counts(house).spec.name, is_suspect=True)
    house.vectors._rows[counts(house).spec.name] = {}
    assert IntegrityMonitor(house.parts).tick() == 3
    assert not counts(house).is_suspect


def test_one_collection_that_cannot_be_asked_keeps_nothing_from_the_others(tmp_path):
    house = House(tmp_path, vectors=_Broken())
    for key in ("a/1.txt", "b/1.txt"):
        house.put(key, "text")
    house.work()
    house.vectors.broken = "a"
    delete(house, "b/1.txt")
    monitor = IntegrityMonitor(house.parts)
    assert monitor.look() == 1
    assert monitor.warnings[0].startswith("The collection a could not be compared with the ledger: torn")
    house.vectors.broken = ""
    house.work()
    monitor.look()
    assert monitor.warnings == []


class _Broken(MemoryVectorStore):
    broken = ""

    def count(self, collection, after_id=-1):
        if collection == self.broken:
            raise Unavailable("torn")
        return super().count(collection, after_id)


def test_the_first_look_is_before_the_first_row(house):
    """A row of this process would hide that the newest are missing."""
    name = counts(house).spec.name
    house.vectors.put_back(StoreCopy(dict(house.vectors._specs), {name: {}}, {name: house.ledger.mark}))
    again = House(house.parts.scratch, vectors=house.vectors, ledger=house.ledger, stores=house.parts.stores)
    again.store = house.store
    again.put("team/new.txt", "new")
    again.work()
    assert counts(again).is_suspect
    assert IntegrityMonitor(again.parts).look() == 3


def test_a_document_that_can_not_be_made_again_is_not_asked_for_at_each_scan(tmp_path):
    """Its old rows, which the settings keep, are gone: the record says so."""
    parser = FakeParser()
    house = House(tmp_path, parsers=[parser])
    ref = house.put("team/a.txt", "text")
    house.work()
    delete(house, "team/a.txt")
    house.parts = replace(house.parts, config=replace(house.parts.config, keep_rows_of_failed=True))
    broken = House(
        tmp_path, vectors=house.vectors, ledger=house.ledger, stores=house.parts.stores, parsers=[_Refusing()],
        config=house.parts.config,
    )  # fmt: skip
    monitor = IntegrityMonitor(broken.parts)
    assert monitor.look() == 1
    broken.work()
    record = broken.record(ref)
    assert (record.outcome, record.ids) == (Outcome.FAILED, IdRanges())
    assert monitor.look() == 0


class _Refusing(FakeParser):
    def parse(self, source):
        raise UnreadableDocument("damaged")


def test_rows_are_named_by_object_and_run(house):
    """An id alone reads and deletes nothing of others."""
    record = house.record(ObjectRef(BUCKET, "team/0.txt"))
    stranger = RowSet(ObjectRef(BUCKET, "other").object_id, record.run, record.ids)
    later = replace(record.rows, run=record.run + 1)
    house.vectors.delete(record.collection, [stranger, later])
    assert house.vectors.fetch(record.collection, stranger) == []
    assert house.vectors.fetch(record.collection, later) == []
    assert len(house.vectors.fetch(record.collection, record.rows)) == 1
