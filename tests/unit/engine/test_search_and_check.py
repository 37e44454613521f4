"""Search shows only what is true; the check finds what is not, and mends it."""

from dataclasses import replace

import pytest

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.rows import IdRanges
from s3_to_milvus.engine.check import Checker
from s3_to_milvus.engine.scan import Scanner
from s3_to_milvus.engine.search import Searcher
from s3_to_milvus.errors import ConfigError
from tests.unit.engine.house import BUCKET, House


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    made.put("인사/휴가.txt", "연차는 15일\n\n반차는 반일")
    made.put("guides/start.txt", "make up starts it")
    made.put("root.txt", "at the root")
    made.work()
    return made


def checker(house):
    scanner = Scanner(house.parts, lambda ref: house.collections.label_of(ref) is not None)
    return Checker(house.parts, scanner)


def test_a_search_covers_all_collections_or_one_by_its_label(house):
    searcher = Searcher(house.parts)
    assert {hit.collection for hit in searcher.search("x", top=10)} == {"인사", "guides", "bucket"}
    hits = searcher.search("x", top=10, collection="인사")
    assert {hit.key for hit in hits} == {"인사/휴가.txt"}
    assert hits[0].file_name == "휴가.txt"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(searcher.search("x", top=1)) == 1


def test_an_unknown_collection_and_an_empty_query_say_what_to_do(house):
    with pytest.raises(ConfigError) as caught:
        Searcher(house.parts).search("x", collection="nope")
    assert "guides" in caught.value.hint
    with pytest.raises(ConfigError):
        Searcher(house.parts).search("  ")


def test_rows_of_other_runs_are_never_shown_however_many(house):
    record = house.record(ObjectRef(BUCKET, "root.txt"))
    row = next(iter(house.vectors.rows(record.collection).values()))
    house.vectors.insert(record.collection, [replace(row, run=row.run + 100, text="ghost")] * 40)
    hits = Searcher(house.parts).search("x", top=10, collection="bucket")
    assert [hit.text for hit in hits] == ["at the root"]


class _Overtaken:
    """An object is replaced after Milvus was asked and before the ledger is."""

    def __init__(self, inner, replace_it):
        self.inner = inner
        self.replace_it = replace_it

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def search(self, collection, vector, limit):
        hits = self.inner.search(collection, vector, limit)
        replace_it, self.replace_it = self.replace_it, lambda: None
        replace_it()
        return hits


def test_an_object_that_is_replaced_during_a_search_is_found_all_the_same(house):
    def replace_it():
        house.put("root.txt", "at the root, anew")
        house.work()

    vectors = _Overtaken(house.vectors, replace_it)
    hits = Searcher(replace(house.parts, vectors=vectors)).search("x", top=10, collection="bucket")
    assert [hit.text for hit in hits] == ["at the root, anew"]


def test_nothing_is_found_before_anything_is_indexed(tmp_path):
    assert Searcher(House(tmp_path).parts).search("x") == []


def test_a_whole_mirror_checks_ok(house):
    report = checker(house).check([(BUCKET, "")])
    assert report.is_ok


def test_missing_stale_and_orphaned_are_told_apart_and_repaired(house):
    root = house.record(ObjectRef(BUCKET, "root.txt"))
    row = next(iter(house.vectors.rows(root.collection).values()))
    house.vectors.insert(root.collection, [replace(row, run=row.run + 100)])
    start = house.record(ObjectRef(BUCKET, "guides/start.txt"))
    house.vectors.delete(start.collection, [replace(start.rows, ids=IdRanges.of(list(start.ids)[:1]))])
    house.store.put(BUCKET, "인사/휴가.txt", "연차는 20일".encode())
    house.store.put(BUCKET, "new.txt", b"new")
    report = checker(house).check([(BUCKET, "")])
    assert {finding.ref.key for finding in report.missing} == {"guides/start.txt", "new.txt"}
    assert {finding.ref.key for finding in report.stale} == {"인사/휴가.txt"}
    assert [(orphan.run, orphan.ref.key) for orphan in report.orphaned] == [(row.run + 100, "root.txt")]
    assert not report.is_ok
    checker(house).check([(BUCKET, "")], is_repairing=True)
    house.work()
    assert checker(house).check([(BUCKET, "")]).is_ok
    assert sorted(house.texts()) == sorted(["연차는 20일", "make up starts it", "at the root", "new"])


def test_objects_that_are_on_their_way_are_no_finding(house):
    house.put("root.txt", "changed")
    house.put("new.txt", "new")
    assert checker(house).check([(BUCKET, "")]).is_ok
