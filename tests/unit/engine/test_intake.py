"""Intake: what is ours is durable before the answer; everything else is named with the reason."""

import pytest

from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.domain.routing import Route
from s3_to_milvus.engine.intake import Intake
from s3_to_milvus.errors import RateLimited, Unavailable
from s3_to_milvus.ports import ObjectStore
from tests.unit.engine.house import BUCKET, House


@pytest.fixture
def woken():
    return []


def intake(house, woken):
    return Intake(house.parts, lambda: woken.append(1))


def take(door, given):
    return door.take(given, reasons=door.open_buckets(given))


def events(*keys, bucket=BUCKET):
    return [ObjectEvent(ObjectRef(bucket, key)) for key in keys]


def test_events_are_in_the_ledger_when_the_answer_comes_and_workers_are_woken(tmp_path, woken):
    house = House(tmp_path)
    taken = intake(house, woken).take(events("a.txt", "b.txt", "a.txt"))
    assert [ref.key for ref in taken.refs] == ["a.txt", "b.txt"]
    assert house.ledger.counts().waiting == 2
    assert woken == [1]


def test_an_unknown_bucket_is_ignored_with_the_reason(tmp_path, woken):
    house = House(tmp_path)
    taken = intake(house, woken).take(events("a.txt", bucket="elsewhere"))
    assert not taken.refs
    assert "No source" in taken.ignored[0][1]
    assert woken == []
    assert house.ledger.next_due() is None


def test_a_bucket_that_may_be_opened_is(tmp_path, woken):
    stores: dict[str, ObjectStore] = {}
    house = House(tmp_path, stores=stores, routes=[Route(prefix="Milvus/"), Route(is_ignored=True)])
    asked = []

    def open_bucket(bucket):
        asked.append(bucket)
        if bucket == "refused":
            return "It is not ours."
        stores[bucket] = house.store
        return ""

    door = Intake(house.parts, lambda: woken.append(1), open_bucket)
    assert not take(door, events("private/a.txt", bucket="new")).refs
    assert asked == []  # what no route wants is no reason to open a bucket
    assert take(door, events("Milvus/HR/a.txt", "Milvus/HR/b.txt", bucket="new")).refs
    assert take(door, events("Milvus/a.txt", bucket="refused")).ignored[0][1] == "It is not ours."
    assert asked == ["new", "refused"]


def test_a_bucket_may_be_widened_and_what_it_does_not_cover_is_ignored(tmp_path, woken):
    scopes = {BUCKET: ["docs/"]}
    house = House(tmp_path, scopes=scopes)

    def widen(bucket):
        scopes[bucket].append("more/")
        return ""

    door = Intake(house.parts, lambda: woken.append(1), widen)
    assert door.is_quick(events("docs/a.txt"))
    assert not door.is_quick(events("docs/a.txt", "more/a.txt"))
    assert [ref.key for ref in take(door, events("docs/a.txt", "more/a.txt", "other/a.txt")).refs] == [
        "docs/a.txt",
        "more/a.txt",
    ]


def test_taking_looks_at_no_bucket_and_one_sender_makes_us_look_at_few(tmp_path, woken):
    asked = []
    house = House(tmp_path)

    def refuse(bucket):
        asked.append(bucket)
        return "It is not there."

    door = Intake(house.parts, lambda: woken.append(1), refuse, asked.__contains__)
    many = [event for number in range(100) for event in events("a.txt", bucket=f"made-up-{number}")]
    assert {reason for _, reason in door.take(many).ignored} == {"No source of this service holds that bucket."}
    assert asked == []
    with pytest.raises(RateLimited):
        door.open_buckets(many)
    assert len(asked) == 64
    assert len(door.open_buckets(many)) == 100  # what was looked at is known now
    assert door.open_buckets(many) == Intake(house.parts, lambda: None, refuse).open_buckets(many)
    assert door.open_buckets(many[:3] * 9) == {f"made-up-{number}": "It is not there." for number in range(3)}


def test_buckets_can_be_opened_before_anything_is_taken(tmp_path, woken):
    asked = []
    house = House(tmp_path)

    def refuse(bucket):
        asked.append(bucket)
        return "no"

    door = Intake(house.parts, lambda: woken.append(1), refuse)
    door.open_buckets([*events("a.txt"), *events("a.txt", bucket="new")])
    assert (asked, house.ledger.next_due(), woken) == (["new"], None, [])


def test_a_bucket_that_cannot_be_looked_at_now_takes_no_event(tmp_path, woken):
    """The sender is told, and sends again; half of a batch is never taken."""
    house = House(tmp_path)

    def open_bucket(bucket):
        raise Unavailable("S3 does not answer.")

    door = Intake(house.parts, lambda: woken.append(1), open_bucket)
    with pytest.raises(Unavailable):
        take(door, [*events("a.txt"), *events("a.txt", bucket="new")])
    assert (house.ledger.next_due(), woken) == (None, [])


def test_keys_off_every_route_or_outside_the_mirrored_part_are_ignored(tmp_path, woken):
    house = House(tmp_path, routes=[Route(), Route(prefix="tmp/", is_ignored=True)], scopes={BUCKET: ["docs/", "tmp/"]})
    taken = intake(house, woken).take(events("docs/a.txt", "tmp/a.txt", "other/a.txt"))
    assert [ref.key for ref in taken.refs] == ["docs/a.txt"]
    assert {ref.key: reason for ref, reason in taken.ignored} == {
        "tmp/a.txt": "No route leads this key into a collection.",
        "other/a.txt": "No source of this service covers that key.",
    }


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_a_key_that_no_store_can_hold_is_ignored(tmp_path, woken, key):
    assert intake(House(tmp_path), woken).take(events(key)).ignored


def test_an_undecodable_file_name_is_a_possible_key(tmp_path, woken):
    assert intake(House(tmp_path), woken).take(events("\udcff.txt")).refs
