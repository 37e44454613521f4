"""Refs, id ranges, byte limits and retry decisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.domain.limits import clip_utf8, storable_text
from s3_to_milvus.domain.objects import ObjectRef, object_id_of
from s3_to_milvus.domain.retrying import Bury, Drop, Hold, RetryPolicy, TryAgain, next_step
from s3_to_milvus.domain.rows import IdRanges
from s3_to_milvus.errors import (
    LeaseLost,
    RateLimited,
    Superseded,
    Unauthorized,
    Unavailable,
    UnsupportedFormat,
)


def test_an_object_id_is_64_hex_digits_and_differs_for_every_bucket_and_key():
    refs = [
        ObjectRef("a", "bc"),
        ObjectRef("ab", "c"),
        ObjectRef("a", "b/c"),
        ObjectRef("a", "한글"),
        ObjectRef("a", "\udc80"),
    ]
    ids = {ref.object_id for ref in refs}
    assert len(ids) == len(refs)
    assert all(len(each) == 64 and int(each, 16) >= 0 for each in ids)
    assert object_id_of("a", "bc") == ObjectRef("a", "bc").object_id


@pytest.mark.parametrize(("key", "name"), [("a/b.txt", "b.txt"), ("b.txt", "b.txt"), ("a/", "a"), ("/", "/")])
def test_file_names(key, name):
    assert ObjectRef("b", key).file_name == name


@given(st.lists(st.integers(min_value=-5, max_value=60)))
def test_id_ranges_hold_exactly_the_ids(ids):
    ranges = IdRanges.of(ids)
    assert list(ranges) == sorted(set(ids))
    assert len(ranges) == len(set(ids))
    assert all(later[0] > earlier[1] + 1 for earlier, later in zip(ranges.ranges, ranges.ranges[1:], strict=False))


@given(st.text(), st.integers(min_value=0, max_value=40))
def test_clipping_keeps_to_bytes_and_to_character_borders(text, limit):
    clean = storable_text(text)
    clipped = clip_utf8(clean, limit)
    assert len(clipped.encode()) <= limit
    assert clean.startswith(clipped)
    rest = clean[len(clipped) : len(clipped) + 1]
    assert not rest or len((clipped + rest).encode()) > limit


@given(st.text(alphabet=st.characters()))
def test_storable_text_can_always_be_encoded_and_has_no_nul(text):
    stored = storable_text(text + "\0\ud800")
    assert "\0" not in stored
    stored.encode()


POLICY = RetryPolicy(base_s=1.0, cap_s=600.0)


@pytest.mark.parametrize(
    ("error", "attempts", "wanted"),
    [
        (Unavailable("x"), 1, TryAgain(0.5)),
        (Unavailable("x"), 4, TryAgain(4.0)),
        (Unavailable("x"), 99, TryAgain(300.0)),
        (Unavailable("x", retry_after_s=90), 1, TryAgain(90)),
        (RateLimited("x", retry_after_s=7), 3, TryAgain(7, is_charged=False)),
        (Superseded("x"), 1, TryAgain(0.05)),
        (Superseded("x"), 50, TryAgain(30.0)),
        (UnsupportedFormat("x"), 1, Bury()),
        (Unauthorized("x"), 1, Hold()),
        (LeaseLost("x"), 1, Drop()),
        (KeyError("x"), 2, TryAgain(1.0)),
        (KeyError("x"), 3, Bury()),
    ],
)
def test_what_follows_a_failure(error, attempts, wanted):
    assert next_step(error, attempts, POLICY, jitter=0.0) == wanted


def test_back_off_is_jittered_between_half_and_full():
    assert POLICY.backoff_s(3, 0.0) == 2.0
    assert POLICY.backoff_s(3, 0.999) == pytest.approx(4.0, rel=0.01)
