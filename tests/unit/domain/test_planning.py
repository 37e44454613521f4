"""The decision table: what is, against what is indexed."""

import pytest

from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion
from s3_to_milvus.domain.planning import Absent, Present, Reason, Remove, Replace, Skip, plan, version_to_skip
from s3_to_milvus.domain.records import Outcome, Record
from s3_to_milvus.domain.rows import IdRanges

REF = ObjectRef("bucket", "폴더/문서.txt")
V1 = ObjectVersion("e1", 10)
V2 = ObjectVersion("e2", 10)
INDEXED = Record(REF, V1, Outcome.INDEXED, "r1", collection="c", run=1, ids=IdRanges.of([1]), chunk_count=1)
FAILED = Record(REF, V1, Outcome.FAILED, "r1")
EMPTY = Record(REF, V1, Outcome.EMPTY, "r1")


@pytest.mark.parametrize(
    ("seen", "record", "recipe", "collection", "is_retry", "wanted"),
    [
        (Absent(), None, "r1", "c", False, Skip(Reason.NEVER_SEEN)),
        (Absent(), INDEXED, "r1", "c", False, Remove(Reason.GONE)),
        (Absent(), FAILED, "r1", "c", False, Remove(Reason.GONE)),
        (Present(V1), None, None, "", False, Skip(Reason.NOT_ROUTED)),
        (Present(V1), INDEXED, None, "", False, Remove(Reason.NOT_ROUTED)),
        (Present(V1), None, "r1", "c", False, Replace(V1, Reason.NEW)),
        (Present(V1), INDEXED, "r1", "c", False, Skip(Reason.UNCHANGED)),
        (Present(V1), EMPTY, "r1", "c", False, Skip(Reason.UNCHANGED)),
        (Present(V1), FAILED, "r1", "c", False, Skip(Reason.UNCHANGED)),
        (Present(V2), INDEXED, "r1", "c", False, Replace(V2, Reason.CONTENT_CHANGED)),
        (Present(V2), FAILED, "r1", "c", False, Replace(V2, Reason.CONTENT_CHANGED)),
        (Present(V1), INDEXED, "r2", "c", False, Replace(V1, Reason.RECIPE_CHANGED)),
        (Present(V1), INDEXED, "r1", "d", False, Replace(V1, Reason.MOVED)),
        (Present(V1), EMPTY, "r1", "d", False, Skip(Reason.UNCHANGED)),
        (Present(V1), FAILED, "r1", "c", True, Replace(V1, Reason.RETRIED)),
    ],
)
def test_every_row_of_the_table(seen, record, recipe, collection, is_retry, wanted):
    assert plan(seen, record, recipe, collection, is_retry=is_retry) == wanted


def test_only_what_the_record_was_made_of_need_not_be_read_again():
    assert version_to_skip(INDEXED, "r1", "c", is_retry=False) == V1
    assert version_to_skip(INDEXED, "r2", "c", is_retry=False) is None
    assert version_to_skip(INDEXED, "r1", "d", is_retry=False) is None
    assert version_to_skip(INDEXED, "r1", "c", is_retry=True) is None
    assert version_to_skip(None, "r1", "c", is_retry=False) is None


def test_a_version_id_counts_only_where_both_sides_know_one():
    listed = ObjectVersion("e1", 10)
    read = ObjectVersion("e1", 10, version_id="v7")
    assert listed.is_same_as(read)
    assert not read.is_same_as(ObjectVersion("e1", 10, version_id="v8"))
    assert not listed.is_same_as(None)
    assert not listed.is_same_as(ObjectVersion("e1", 11))


def test_rows_that_are_missing_are_made_again_unless_the_object_is_gone():
    for seen in (V1, V2):
        wanted = Replace(seen, Reason.ROWS_MISSING)
        assert plan(Present(seen), INDEXED, "r1", "c", are_rows_missing=True) == wanted
    assert plan(Absent(), INDEXED, "r1", "c", are_rows_missing=True) == Remove(Reason.GONE)
    assert plan(Present(V1), INDEXED, None, "", are_rows_missing=True) == Remove(Reason.NOT_ROUTED)
