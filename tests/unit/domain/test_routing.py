"""Routes, labels and the names that every Milvus can hold."""

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.routing import Route, collection_label, collection_name, is_left_out, route_of

ANY = Route()


def test_the_top_level_folder_is_the_collection():
    assert collection_label(ANY, ObjectRef("bucket", "guides/2026/a.txt")) == "guides"
    assert collection_label(ANY, ObjectRef("bucket", "a.txt")) == "bucket"
    assert collection_label(Route(prefix="Milvus/"), ObjectRef("bucket", "Milvus/인사/a.txt")) == "인사"
    assert collection_label(Route(collection="all"), ObjectRef("bucket", "guides/a.txt")) == "all"
    assert collection_label(ANY, ObjectRef("bucket", "//a.txt")) == "bucket"


def test_what_lies_in_no_folder_may_be_left_out():
    route = Route(prefix="Milvus/", needs_folder=True)
    assert not is_left_out(route, ObjectRef("b", "Milvus/rules/a.txt"))
    for key in ("Milvus/a.txt", "Milvus/", "Milvus//b.txt"):
        assert is_left_out(route, ObjectRef("b", key))
    assert is_left_out(None, ObjectRef("b", "a"))
    assert is_left_out(Route(is_ignored=True), ObjectRef("b", "a/b"))
    assert not is_left_out(Route(), ObjectRef("b", "a"))


def test_decomposed_folder_names_share_the_collection_of_composed_ones():
    nfd = unicodedata.normalize("NFD", "인사규정")
    assert collection_label(ANY, ObjectRef("b", f"{nfd}/a.txt")) == "인사규정"


def test_the_longest_prefix_wins_and_a_named_bucket_before_any():
    routes = [ANY, Route(prefix="a/"), Route(bucket="b", prefix="a/"), Route(prefix="a/tmp/", is_ignored=True)]
    assert route_of(routes, ObjectRef("b", "a/x")) == routes[2]
    assert route_of(routes, ObjectRef("c", "a/x")) == routes[1]
    assert route_of(routes, ObjectRef("c", "a/tmp/x")) == routes[3]
    assert route_of([Route(prefix="a/")], ObjectRef("c", "b/x")) is None


def test_names_milvus_can_hold_stay_and_others_get_a_slug_and_a_hash():
    assert collection_name("guides_2026") == "guides_2026"
    assert re.fullmatch(r"c_[0-9a-f]{8}", collection_name("인사규정"))
    assert re.fullmatch(r"c_2026_plan_[0-9a-f]{8}", collection_name("2026 plan"))
    assert collection_name("a b") != collection_name("a-b")


@given(st.text(min_size=1, max_size=300))
def test_every_label_gets_a_name_that_a_server_takes(label):
    name = collection_name(label)
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    assert len(name) <= 255
