"""Which rows of the original system are right for which object."""

import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.domain.adopting import (
    AdoptionPlan,
    Candidate,
    Dates,
    OriginalRow,
    Why,
    kept_name,
    original_name,
    plan_adoption,
    successor_name,
)
from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion

MODIFIED = datetime(2024, 5, 1, 0, 30, 0, 250_000, tzinfo=UTC).timestamp()
RIGHT = "2024-05-01T00:30:00Z"  # what S3 says in LastModified, in whole seconds
OLDER = "2023-11-05T10:00:00Z"
SEOUL = ZoneInfo("Asia/Seoul")


def candidate(key: str, modified_at: float | None = MODIFIED, *, is_done: bool = False) -> Candidate:
    return Candidate(ObjectRef("b", key), ObjectVersion("etag", 5, None, modified_at), is_done)


class Rows(list[OriginalRow]):
    """Rows in the order of their insertion."""

    def add(self, name: str, date: str, *texts: str, first: int | None = None) -> "Rows":
        start = first if first is not None else (self[-1].id + 1 if self else 1)
        self.extend(OriginalRow(start + n, name, date, text) for n, text in enumerate(texts))
        return self


def taken(plan: AdoptionPlan, key: str = "Milvus/HR/a.pdf") -> list[int]:
    return next(list(each.ids) for each in plan.adoptable if each.ref.key == key)


def why(plan: AdoptionPlan) -> list[Why]:
    return [each.why for each in plan.left]


A = candidate("Milvus/HR/a.pdf")


def test_rows_of_the_version_that_is_there_are_taken():
    plan = plan_adoption(Rows().add("a.pdf", RIGHT, "1", "2").add("b.pdf", RIGHT, "x"), [A])
    assert taken(plan) == [1, 2]
    assert plan.adoptable[0].file_date == RIGHT
    assert (why(plan), plan.missing, plan.to_read()) == ([Why.ORPHAN], [], [])
    assert (plan.left[0].file_name, plan.left[0].rows) == ("b.pdf", 1)


@pytest.mark.parametrize(
    ("date", "zone", "wanted"),
    [
        (RIGHT, None, None),
        ("2024-05-01T00:30:07Z", None, None),
        (OLDER, None, Why.STALE),
        ("2024-05-01T00:29:58Z", None, Why.STALE),
        ("2024-05-01 09:30:00", None, Why.UNSURE),  # where?
        ("2024-05-01 09:30:00", SEOUL, None),
        ("2024-05-01 09:29:00", SEOUL, Why.STALE),
        ("2024-05-01", None, Why.UNSURE),
        ("2024-05-02", None, None),  # it had begun nowhere on earth
        ("2024-05-01", SEOUL, Why.UNSURE),  # before or after half past nine?
        ("2024-04-30", SEOUL, Why.STALE),
        ("개정판", None, Why.UNSURE),
    ],
)
def test_times_of_indexing_decide_and_a_doubt_is_told(date: str, zone: ZoneInfo | None, wanted: Why | None):
    plan = plan_adoption(Rows().add("a.pdf", date, "1"), [A], zone, Dates.INDEXED)
    assert why(plan) == ([wanted] if wanted else [])
    assert plan.to_read() == ([A.ref] if wanted else [])
    assert len(plan.adoptable) == (wanted is None)
    assert plan_adoption(Rows().add("a.pdf", date, "1"), [A], zone, Dates.IGNORED).adoptable


@pytest.mark.parametrize(
    ("date", "wanted"),
    [
        (RIGHT, None),
        ("2024-05-01T09:30:00+09:00", None),
        ("2024-05-01T00:30:01Z", Why.UNSURE),  # of another version, or of another object of that name
        ("2024-05-01T00:29:59Z", Why.STALE),
        ("2024-05-01", Why.UNSURE),
        ("", Why.UNSURE),
    ],
)
def test_dates_of_objects_are_a_proof_where_they_are_equal(date: str, wanted: Why | None):
    plan = plan_adoption(Rows().add("a.pdf", date, "1"), [A], None, Dates.MODIFIED)
    assert why(plan) == ([wanted] if wanted else [])


def test_what_the_dates_are_is_seen_from_all_of_them():
    objects = [candidate(f"{number}.pdf") for number in range(4)]
    later = "2024-05-01T00:31:00Z"
    for dates, found in (
        ([RIGHT, RIGHT, later, OLDER], Dates.MODIFIED),
        ([RIGHT, later, later, "?"], Dates.INDEXED),
        (["2024-05-02"] * 4, Dates.INDEXED),
    ):
        rows = Rows()
        for number, date in enumerate(dates):
            rows.add(f"{number}.pdf", date, "1")
        assert plan_adoption(rows, objects).dates is found
    # One that was replaced while the original indexed it: the insert is later than the object, the version is not.
    rows = Rows().add("0.pdf", RIGHT, "1").add("1.pdf", RIGHT, "1").add("2.pdf", later, "1")
    assert why(plan_adoption(rows, objects)) == [Why.UNSURE]


def test_an_object_without_a_date_is_not_trusted():
    assert why(plan_adoption(Rows().add("a.pdf", RIGHT, "1"), [candidate("a.pdf", None)])) == [Why.UNSURE]


def test_only_the_newest_of_several_versions_is_taken():
    rows = Rows().add("a.pdf", OLDER, "1", "2", "3").add("z", RIGHT, "-").add("a.pdf", RIGHT, "1", "2b")
    plan = plan_adoption(rows, [A])
    assert taken(plan) == [5, 6]
    assert plan.adoptable[0].dropped == 3


def test_ids_and_dates_that_say_different_things_are_not_believed():
    """The handler of the older version came to its end last."""
    rows = Rows().add("a.pdf", "2024-05-01T03:00:00Z", "new").add("a.pdf", "2024-05-01T02:00:00Z", "old")
    assert why(plan_adoption(rows, [A], None, Dates.INDEXED)) == [Why.UNSURE]
    stale = Rows().add("a.pdf", RIGHT, "new").add("a.pdf", OLDER, "old")
    assert why(plan_adoption(stale, [A])) == [Why.STALE]
    unreadable = Rows().add("a.pdf", "?", "old").add("a.pdf", RIGHT, "new")
    assert why(plan_adoption(unreadable, [A])) == [Why.UNSURE]


@pytest.mark.parametrize("second", ["3", "123"])
def test_parts_of_one_version_with_a_time_each_are_not_taken_for_versions(second: str):
    rows = Rows().add("a.pdf", "2024-05-01T01:00:00Z", "1", "2", "2a")
    rows.add("a.pdf", "2024-05-01T01:00:04Z", *second)
    assert why(plan_adoption(rows, [A])) == [Why.UNSURE]
    again = Rows().add("a.pdf", "2024-05-01T01:00:00Z", "1", "2").add("a.pdf", "2024-05-01T01:00:04Z", "1", "2")
    assert taken(plan_adoption(again, [A])) == [3, 4]


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ("abcabc", [4, 5, 6]),  # the event came twice
        ("abcabcabc", [7, 8, 9]),
        ("ababcd", [3, 4, 5, 6]),  # killed half-way, then again
        ("abcdab", [1, 2, 3, 4]),  # again, and killed half-way
        ("aabbcc", [1, 3, 5]),  # two handlers at a time
        ("aacb", [2, 3, 4]),
        ("abac", [1, 2, 3, 4]),  # a document that repeats itself
        ("abacabac", [5, 6, 7, 8]),
        ("abbabb", [4, 5, 6]),
        ("aabbbb", [1, 3, 4]),
        ("a", [1]),
    ],
)
def test_a_document_inserted_several_times_is_taken_once(texts: str, wanted: list[int]):
    plan = plan_adoption(Rows().add("a.pdf", RIGHT, *texts), [A])
    assert taken(plan) == wanted
    assert plan.adoptable[0].dropped == len(texts) - len(wanted)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), st.integers(1, 4))
def test_no_text_is_ever_lost(texts: list[str], copies: int):
    rows = Rows().add("a.pdf", RIGHT, *(texts * copies))
    kept = [rows[each - 1].text for each in taken(plan_adoption(rows, [A]))]
    assert set(kept) == set(texts)
    assert len(kept) <= len(texts)


def test_a_name_that_several_objects_have_is_not_guessed():
    twins = [candidate("Milvus/HR/2023/a.pdf"), candidate("Milvus/HR/2024/a.pdf")]
    plan = plan_adoption(Rows().add("a.pdf", RIGHT, "1"), twins)
    assert (why(plan), plan.left[0].refs) == ([Why.AMBIGUOUS], (twins[0].ref, twins[1].ref))
    assert (plan.to_read(), plan.missing) == ([each.ref for each in twins], [])
    by_key = plan_adoption(Rows().add("Milvus/HR/2024/a.pdf", RIGHT, "1"), twins)
    assert (taken(by_key, "Milvus/HR/2024/a.pdf"), by_key.missing) == ([1], [twins[0].ref])


def test_names_match_in_every_spelling():
    composed, decomposed = (unicodedata.normalize(form, "휴가 규정.pdf") for form in ("NFC", "NFD"))
    for key in (composed, decomposed):
        objects = [candidate(f"Milvus/HR/{key}")]
        for name in (
            composed,
            decomposed,
            "%ED%9C%B4%EA%B0%80+%EA%B7%9C%EC%A0%95.pdf",
            "%ED%9C%B4%EA%B0%80%20규정.pdf",
        ):
            assert plan_adoption(Rows().add(name, RIGHT, "1"), objects).adoptable, (key, name)
    both = [candidate(composed), candidate(decomposed)]
    plan = plan_adoption(Rows().add(composed, RIGHT, "1").add(decomposed, RIGHT, "2"), both)
    assert (taken(plan, composed), taken(plan, decomposed)) == ([1], [2])


def test_a_name_is_not_taken_for_a_similar_one():
    space = candidate("a b.pdf")
    assert why(plan_adoption(Rows().add("a+b.pdf", RIGHT, "1"), [space])) == [Why.ORPHAN]  # its own object is gone
    encoded = Rows().add("a%20b.pdf", RIGHT, "other").add("a b.pdf", RIGHT, "own")
    plan = plan_adoption(encoded, [space])
    assert (taken(plan, "a b.pdf"), why(plan)) == ([2], [Why.ORPHAN])
    neither = Rows().add("%EA%B0%80.pdf", RIGHT, "1").add(unicodedata.normalize("NFD", "가.pdf"), RIGHT, "2")
    korean = candidate("가.pdf")
    unclear = plan_adoption(neither, [korean])
    assert (why(unclear), unclear.to_read()) == ([Why.UNSURE, Why.UNSURE], [korean.ref])


def test_names_of_collections():
    assert (successor_name("HR"), kept_name("HR")) == ("HR_s2m", "HR_original")
    assert (original_name("HR_s2m"), original_name("HR"), original_name("HR_original")) == ("HR", "", "")


def test_objects_that_stand_in_ours_are_left_alone():
    done = candidate("Milvus/HR/a.pdf", is_done=True)
    plan = plan_adoption(Rows().add("a.pdf", OLDER, "1"), [done, candidate("Milvus/HR/new.pdf")])
    assert (plan.adoptable, plan.left, plan.done) == ([], [], [done.ref])
    assert plan.to_read() == plan.missing == [ObjectRef("b", "Milvus/HR/new.pdf")]


def test_rows_must_come_in_order():
    with pytest.raises(ValueError, match="ascending"):
        plan_adoption([OriginalRow(2, "a", "", ""), OriginalRow(1, "a", "", "")], [])
