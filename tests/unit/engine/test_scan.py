"""The scan: merge-join, removal guard, dry run, and listings that break off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.domain.objects import ListedObject, ObjectRef, sort_key
from s3_to_milvus.domain.records import IndexedLine
from s3_to_milvus.domain.routing import Route
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.engine.scan import Scanner, merge
from s3_to_milvus.errors import RemovalGuard, Unavailable
from tests.unit.engine.house import BUCKET, House

KEYS = st.sets(st.text(alphabet="aé가힣/.\U0001f600", min_size=1, max_size=4))


@given(KEYS, KEYS)
def test_the_merge_pairs_equal_keys_and_misses_none(left, right):
    listing = [ListedObject(key, "e", 1) for key in sorted(left, key=sort_key)]
    lines = [IndexedLine(key, "e", 1, "r", has_rows=True) for key in sorted(right, key=sort_key)]
    pairs = list(merge(iter(listing), iter(lines)))
    assert {a.key for a, b in pairs if a and b} == left & right
    assert {a.key for a, b in pairs if a and not b} == left - right
    assert {b.key for a, b in pairs if b and not a} == right - left
    assert len(pairs) == len(left | right)


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    for n in range(100):
        made.store.put(BUCKET, f"a/{n:03}.txt", f"text {n}".encode())
    return made


def scanner(house):
    return Scanner(house.parts, lambda ref: house.collections.label_of(ref) is not None)


def test_what_is_new_changed_or_gone_is_marked_and_nothing_else(house):
    report = scanner(house).scan(BUCKET)
    assert (report.added, report.listed) == (100, 100)
    house.work()
    opened = house.store.opened
    house.store.put(BUCKET, "a/000.txt", b"changed")
    house.store.delete(BUCKET, "a/001.txt")
    house.store.put(BUCKET, "a/new.txt", b"new")
    report = scanner(house).scan(BUCKET)
    assert (report.added, report.changed, report.removed, report.unchanged) == (1, 1, 1, 98)
    house.work()
    assert house.store.opened == opened + 2
    assert sorted(house.texts()) == sorted(["changed", "new", *(f"text {n}" for n in range(2, 100))])


def test_a_second_scan_of_the_same_bucket_opens_nothing_and_asks_nothing(house):
    scanner(house).scan(BUCKET)
    house.work()
    gets = house.store.gets
    assert scanner(house).scan(BUCKET).unchanged == 100
    house.work()
    assert house.store.gets == gets


def test_a_dry_run_shows_the_difference_and_writes_nothing(house):
    scanner(house).scan(BUCKET)
    house.work()
    house.store.put(BUCKET, "a/000.txt", b"changed")
    house.store.delete(BUCKET, "a/001.txt")
    house.store.put(BUCKET, "b/new.txt", b"new")
    report = scanner(house).scan(BUCKET, is_dry_run=True)
    assert [(each.ref.key, each.action) for each in report.plan] == [
        ("a/000.txt", "change"),
        ("a/001.txt", "remove"),
        ("b/new.txt", "add"),
    ]
    assert house.ledger.next_due() is None


def test_a_scan_that_would_remove_too_much_stops_and_asks(house):
    scanner(house).scan(BUCKET)
    house.work()
    for n in range(60):
        house.store.delete(BUCKET, f"a/{n:03}.txt")
    house.store.put(BUCKET, "a/new.txt", b"new")
    with pytest.raises(RemovalGuard) as caught:
        scanner(house).scan(BUCKET)
    assert (caught.value.removals, caught.value.indexed) == (60, 100)
    assert "--yes" in caught.value.hint
    house.work()
    assert len(house.texts()) == 101, "what is new was indexed, nothing was removed"
    scanner(house).scan(BUCKET, is_removal_confirmed=True)
    house.work()
    assert len(house.texts()) == 41


def test_up_to_fifty_removals_need_no_question(house):
    scanner(house).scan(BUCKET)
    house.work()
    for n in range(50):
        house.store.delete(BUCKET, f"a/{n:03}.txt")
    scanner(house).scan(BUCKET)
    house.work()
    assert len(house.texts()) == 50


def test_an_empty_listing_never_removes_without_a_question(house):
    scanner(house).scan(BUCKET)
    house.work()
    for n in range(100):
        house.store.delete(BUCKET, f"a/{n:03}.txt")
    with pytest.raises(RemovalGuard, match="empty"):
        scanner(house).scan(BUCKET)
    small = House(house.parts.scratch)
    small.put("only.txt", "x")
    small.work()
    small.store.delete(BUCKET, "only.txt")
    with pytest.raises(RemovalGuard):
        scanner(small).scan(BUCKET)


class _Breaking:
    """A store whose listing breaks off."""

    def __init__(self, inner, after):
        self.inner = inner
        self.after = after

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def list(self, bucket, prefix=""):
        for number, listed in enumerate(self.inner.list(bucket, prefix)):
            if number == self.after:
                raise Unavailable("the listing broke off")
            yield listed


def test_a_listing_that_breaks_off_removes_nothing(house):
    scanner(house).scan(BUCKET)
    house.work()
    for n in range(90):
        house.store.delete(BUCKET, f"a/{n:03}.txt")
    house.parts.stores[BUCKET] = _Breaking(house.store, 5)
    with pytest.raises(Unavailable):
        scanner(house).scan(BUCKET, is_removal_confirmed=True)
    assert house.ledger.next_due() is None


def test_a_prefix_is_scanned_alone(house):
    scanner(house).scan(BUCKET)
    house.work()
    house.store.put(BUCKET, "b/x.txt", b"x")
    house.store.delete(BUCKET, "a/000.txt")
    report = scanner(house).scan(BUCKET, "b/")
    assert (report.added, report.removed, report.listed) == (1, 0, 1)


def test_objects_off_every_route_are_not_indexed_and_their_rows_go(tmp_path):
    house = House(tmp_path, routes=[Route(prefix="a/")])
    house.store.put(BUCKET, "a/x.txt", b"x")
    house.store.put(BUCKET, "b/x.txt", b"x")
    assert scanner(house).scan(BUCKET).added == 1


def test_a_failed_file_is_not_tried_again_by_every_scan(tmp_path):
    house = House(tmp_path, config=EngineConfig())
    house.store.put(BUCKET, "a/x.zip", b"PK")
    scanner(house).scan(BUCKET)
    house.work()
    report = scanner(house).scan(BUCKET)
    assert (report.added, report.changed, report.unchanged) == (0, 0, 1)
    assert house.ledger.status(ObjectRef(BUCKET, "a/x.zip")).error_code == "unsupported_format"


def test_a_folder_that_was_moved_away_goes_without_a_question_unless_it_is_a_fifth_of_everything(tmp_path):
    for others, is_asked in ((400, False), (100, True)):
        house = House(tmp_path)
        for n in range(60):
            house.store.put(BUCKET, f"moved/{n:03}.txt", b"x")
        for n in range(others):
            house.store.put(BUCKET, f"stays/{n:03}.txt", b"y")
        scanner(house).scan(BUCKET)
        house.work()
        for n in range(60):
            house.store.delete(BUCKET, f"moved/{n:03}.txt")
        if is_asked:
            with pytest.raises(RemovalGuard):
                scanner(house).scan(BUCKET, "moved/", is_part=True)
        else:
            scanner(house).scan(BUCKET, "moved/", is_part=True)
            house.work()
            assert len(house.texts()) == others


def test_what_stands_is_counted_apart_from_what_failed_or_is_empty(tmp_path):
    house = House(tmp_path)
    for key, data in {"a/x.zip": b"PK", "a/y.zip": b"PK", "a/empty.txt": b" ", "a/z.txt": b"z"}.items():
        house.store.put(BUCKET, key, data)
    scanner(house).scan(BUCKET)
    house.work()
    house.store.put(BUCKET, "a/x.zip", b"PK again")
    report = scanner(house).scan(BUCKET, is_dry_run=True)
    assert (report.changed, report.unchanged, report.standing) == (1, 3, 1)
