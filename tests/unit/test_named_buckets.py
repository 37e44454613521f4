"""Buckets that events name: opened once, refused for a minute, never taken for gone while S3 is down."""

import pytest

from s3_to_milvus.bootstrap.named_buckets import NamedBuckets
from s3_to_milvus.errors import (
    ConfigError,
    Forbidden,
    NoSuchBucket,
    PermanentError,
    QuotaExhausted,
    Unauthorized,
    Unavailable,
)


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.answers: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.opened: list[str] = []
        self.buckets = NamedBuckets(self._check, self.opened.append, {"limited"}, lambda: self.now)

    def _check(self, bucket: str) -> str:
        self.asked.append(bucket)
        if error := self.answers.get(bucket):
            raise error
        return "well"


def test_what_the_settings_speak_of_is_left_to_them():
    world = World()
    assert (world.buckets.open("limited"), world.buckets.is_known("limited"), world.asked) == ("", True, [])
    assert not world.buckets.is_known("company")


def test_a_bucket_that_can_be_read_becomes_a_source():
    world = World()
    assert world.buckets.open("company") == ""
    assert world.opened == ["s3://company"]


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("It can't be."),
        Forbidden("It may not be read."),
        NoSuchBucket("There is no bucket."),
        PermanentError("Rejected."),
    ],
    ids=lambda error: error.code,
)
def test_one_that_cannot_is_asked_for_once_a_minute(error: Exception):
    world = World()
    world.answers["evil"] = error
    for _ in range(5):
        assert world.buckets.open("evil") == str(error)
    assert (world.asked, world.opened) == (["evil"], [])
    world.now += 61
    del world.answers["evil"]
    assert world.buckets.open("evil") == ""
    assert world.opened == ["s3://evil"]


def test_made_up_names_do_not_fill_the_memory():
    world = World()
    for number in range(3_000):
        world.answers[str(number)] = ConfigError("There is no bucket.")
        world.buckets.open(str(number))
    assert len(world.buckets._known) <= 1_000


@pytest.mark.parametrize(
    "error",
    [Unavailable("S3 does not answer."), Unauthorized("The key is wrong."), QuotaExhausted("No more.")],
    ids=lambda error: error.code,
)
def test_what_says_nothing_about_the_bucket_is_told_to_the_sender_and_asked_again_soon(error: Exception):
    world = World()
    world.answers["company"] = error
    for _ in range(5):
        with pytest.raises(Unavailable, match=str(error)):
            world.buckets.open("company")
    assert world.asked == ["company"]
    world.now += 6
    del world.answers["company"]
    assert world.buckets.open("company") == ""


@pytest.mark.parametrize("name", ["arn:aws:s3:eu-west-1:1:accesspoint/x", "", "a/b", "한글", "x" * 256, "a\n"])
def test_a_name_that_no_bucket_has_is_not_asked_for(name: str):
    world = World()
    assert world.buckets.open(name) == "No bucket can have such a name."
    assert world.asked == []
