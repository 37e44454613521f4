"""Collections of the original system taken over: what is copied, what is read, when the name is given."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.domain.adopting import OriginalRow, Why
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import Outcome
from s3_to_milvus.engine.adoption import Adopted, Adopter, Adoption
from s3_to_milvus.engine.check import Checker
from s3_to_milvus.engine.collections import Collections
from s3_to_milvus.engine.scan import Scanner
from s3_to_milvus.errors import ConfigError, SchemaMismatch
from s3_to_milvus.ports import SourceEntry
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.parser import FAIL_PERMANENT
from tests.unit.engine.house import BUCKET, House

SOURCE = SourceEntry(BUCKET, f"s3://{BUCKET}")
LATE = "2030-01-01T00:00:00Z"
EARLY = "1969-01-01T00:00:00Z"


class Heir(House):
    """A house that takes over."""

    def __init__(self, scratch: Path, **parts: Any) -> None:
        super().__init__(scratch, **parts)
        self.originals = self.vectors.originals
        self.adopter = Adopter(self.parts, self.collections)
        self._ids = 0

    def fill(self, collection: str, file_name: str, date: str, *texts: str, embedder: Any = None) -> list[int]:
        """Rows as the original made them; their ids."""
        vectors = (embedder or FakeEmbedder()).embed_documents(texts)
        ids = [self._ids + n for n in range(1, len(texts) + 1)]
        rows = [OriginalRow(each, file_name, date, text) for each, text in zip(ids, texts, strict=True)]
        self.originals.fill(collection, list(zip(rows, vectors, strict=True)))
        self._ids += len(texts)
        return ids

    def keep(self, *keys: str) -> None:
        """Objects that nobody announced."""
        for key in keys:
            self.store.put(BUCKET, key, b"read\n\nanew")

    def plan(self, name: str = "HR", **options: Any) -> Adoption:
        return self.adopter.plan(name, [SOURCE], **options)

    def adopt(self, adoption: Adoption | None = None, *, is_failure_accepted: bool = False) -> Adopted:
        adoption = adoption or self.plan()
        self.adopter.begin(adoption)
        self.work()
        return self.adopter.finish(adoption, is_failure_accepted=is_failure_accepted)

    def actions(self) -> dict[str, str]:
        return {done.claim.ref.key: f"{done.action} {done.outcome}" for done in self.done}

    def paid(self) -> list[str]:
        """Texts embedded as rows, with the document's name before them."""
        return [text for text in self.embedder.embedded if "\n" in text]


@pytest.fixture
def heir(tmp_path: Path) -> Heir:
    return Heir(tmp_path)


def _keys(refs: Sequence[ObjectRef]) -> list[str]:
    return [ref.key for ref in refs]


def test_what_is_right_is_copied_and_the_rest_is_read(heir: Heir):
    heir.keep("HR/right.txt", "HR/stale.txt", "HR/new.txt", "IT/other.txt")
    heir.fill("HR", "right.txt", LATE, "<p>둘</p>", "<p>하나</p>")
    heir.fill("HR", "stale.txt", EARLY, "old")
    heir.fill("HR", "gone.txt", LATE, "orphan")
    adoption = heir.plan()
    assert adoption.similarity == pytest.approx(1.0)
    assert _keys(adoption.plan.to_read()) == ["HR/stale.txt", "HR/new.txt"]
    assert heir.ledger.collections() == []  # a plan writes nothing
    assert heir.originals.aliases == {}

    assert heir.adopt(adoption) == Adopted((), (), True)
    assert heir.actions() == {
        "HR/right.txt": "adopt indexed",
        "HR/stale.txt": "add indexed",
        "HR/new.txt": "add indexed",
    }
    assert heir.texts("HR/right.txt") == ["<p>둘</p>", "<p>하나</p>"]
    assert heir.texts("HR/stale.txt") == heir.texts("HR/new.txt") == ["read", "anew"]
    assert heir.paid() == ["stale\nread", "stale\nanew", "new\nread", "new\nanew"]
    assert (heir.originals.aliases, heir.parts.donations) == ({"HR": "HR_s2m"}, {})
    rows = [row for row in heir.vectors.rows("HR_s2m").values() if row.file_name == "right.txt"]
    assert {row.file_date for row in rows} == {LATE}
    assert [list(row.vector) for row in rows] == [
        list(each) for each in FakeEmbedder().embed_documents(["<p>둘</p>", "<p>하나</p>"])
    ]


def test_what_was_taken_over_is_kept_exact_from_then_on(heir: Heir):
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    heir.adopt()
    ref = heir.observe("HR/a.txt")
    heir.work()
    assert heir.texts() == ["original"]  # looked at again: nothing to do
    assert heir.record(ref).collection == "HR_s2m"
    heir.put("HR/a.txt", "changed")
    heir.put("HR/b.txt", "added")
    heir.work()
    assert heir.texts() == ["changed", "added"]
    heir.store.delete(BUCKET, "HR/a.txt")
    heir.observe("HR/a.txt")
    heir.work()
    assert heir.texts() == ["added"]


def test_it_is_done_once(heir: Heir):
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    with pytest.raises(ConfigError, match="was not taken over"):
        heir.adopter.drop_original("HR")
    heir.adopt()
    assert heir.plan().is_over
    assert heir.adopter.drop_original("HR") == "HR_original"
    assert heir.originals.names == []
    with pytest.raises(ConfigError, match="dropped already"):
        heir.adopter.drop_original("HR")
    assert heir.texts() == ["original"]


def test_another_model_is_found_out(heir: Heir):
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original", embedder=FakeEmbedder(name="fake-2"))
    with pytest.raises(SchemaMismatch, match="cosine"):
        heir.plan()


def test_other_dimensions_are_found_out_before_anything_is_embedded(heir: Heir):
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original", embedder=FakeEmbedder(dim=16))
    with pytest.raises(SchemaMismatch, match="16 dimensions, those of the embedder 8"):
        heir.plan()
    assert heir.embedder.embedded == []


def test_wrong_names_are_told(heir: Heir):
    heir.keep("HR/a.txt", "IT/b.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    heir.fill("Sales", "a.txt", LATE, "original")
    with pytest.raises(ConfigError, match="There is no collection hr in Milvus") as raised:
        heir.plan("hr")
    assert "HR, Sales" in raised.value.hint
    with pytest.raises(
        ConfigError, match="No object of the sources goes into the collection Sales; theirs are: HR, IT"
    ):
        heir.plan("Sales")
    heir.fill("HR_original", "a.txt", LATE, "somebody's")
    with pytest.raises(ConfigError, match="There is a collection HR_original already"):
        heir.plan()


def test_what_cannot_be_read_keeps_the_name_where_it_is(heir: Heir):
    heir.keep("HR/a.txt")
    heir.store.put(BUCKET, "HR/b.txt", FAIL_PERMANENT)
    heir.fill("HR", "a.txt", LATE, "original")
    heir.fill("HR", "b.txt", EARLY, "stale")
    first = heir.adopt()
    assert (_keys([each.ref for each in first.failed]), first.is_switched) == (["HR/b.txt"], False)
    assert heir.originals.aliases == {}
    heir.store.put(BUCKET, "HR/b.txt", b"mended")
    second = heir.adopt()
    assert second == Adopted((), (), True)
    assert heir.texts() == ["original", "mended"]


def test_a_failure_can_be_accepted(heir: Heir):
    heir.keep("HR/a.txt")
    heir.store.put(BUCKET, "HR/b.txt", FAIL_PERMANENT)
    heir.fill("HR", "a.txt", LATE, "original")
    answer = heir.adopt(is_failure_accepted=True)
    assert (len(answer.failed), answer.is_switched) == (1, True)


def test_what_failed_before_is_tried_again(heir: Heir):
    """The service ran against the original's collection; the file can be read since then."""
    heir.store.put(BUCKET, "HR/a.txt", FAIL_PERMANENT)
    ref = heir.observe("HR/a.txt")
    heir.work()
    assert heir.outcome(ref) is Outcome.FAILED
    heir.fill("HR", "a.txt", LATE, "original")
    assert heir.adopt().is_switched
    assert heir.texts() == ["original"]


def test_an_object_that_changes_meanwhile_is_read(heir: Heir):
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    adoption = heir.plan()
    heir.store.put(BUCKET, "HR/a.txt", b"changed")
    assert heir.adopt(adoption).is_switched
    assert heir.texts() == ["changed"]


def test_an_object_that_goes_meanwhile_leaves_nothing(heir: Heir):
    heir.keep("HR/a.txt", "HR/b.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    adoption = heir.plan()
    heir.store.delete(BUCKET, "HR/a.txt")
    assert heir.adopt(adoption).is_switched
    assert heir.texts() == ["read", "anew"]


def test_rows_that_go_meanwhile_are_noticed(heir: Heir):
    """Somebody still writes into the original's collection."""
    heir.keep("HR/a.txt")
    ids = heir.fill("HR", "a.txt", LATE, "one", "two")
    adoption = heir.plan()
    heir.originals.remove("HR", ids[1])
    answer = heir.adopt(adoption)
    assert (answer.is_switched, [each.error_code for each in answer.waiting]) == (False, ["unavailable"])
    assert "1 rows of HR are gone" in answer.waiting[0].error
    assert heir.texts() == []


def test_several_names_in_one_folder_of_the_bucket(heir: Heir):
    twins = ["HR/2023/a.txt", "HR/2024/a.txt"]
    heir.keep(*twins)
    heir.fill("HR", "a.txt", LATE, "whose?")
    adoption = heir.plan()
    assert [(each.why, _keys(each.refs)) for each in adoption.plan.left] == [(Why.AMBIGUOUS, twins)]
    assert heir.adopt(adoption).is_switched
    assert heir.texts() == ["read", "anew", "read", "anew"]


def test_another_model_later_gets_a_collection_of_its_own(heir: Heir, tmp_path: Path):
    """The name is an alias by then: it must not be taken for a collection that is still free."""
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    heir.adopt()
    later = Collections(replace(heir.parts, embedder=FakeEmbedder(name="fake-2")))
    assert later.spec_of("HR").name.startswith("HR_")
    assert later.spec_of("HR").name != "HR_s2m"


def test_a_collection_of_the_original_blocks_its_own_objects_only_and_costs_nothing(heir: Heir):
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    blocked, other = heir.observe("HR/a.txt"), heir.put("IT/b.txt", "other")
    for _ in range(3):
        heir.later(61)
    assert heir.outcome(other) is Outcome.INDEXED
    status = heir.ledger.status(blocked)
    assert (status.error_code, status.attempts, heir.paid()) == ("schema_mismatch", 0, ["b\nother"])
    assert "s3-to-milvus adopt --collection HR" in status.error
    assert ["original system" in each.message for each in heir.collections.blocked] == [True]
    assert heir.adopt().is_switched
    assert (heir.texts("HR/a.txt"), heir.collections.blocked) == (["original"], [])


def test_a_take_over_that_is_not_finished_is_not_gone_on_with_by_reading(heir: Heir, tmp_path: Path):
    """The service was started in between."""
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    heir.adopter.begin(heir.plan())
    service = House(tmp_path, vectors=heir.vectors, ledger=heir.ledger, stores=heir.parts.stores)
    service.work()
    ref = ObjectRef(BUCKET, "HR/a.txt")
    assert "not finished. Finish it: s3-to-milvus adopt --collection HR" in service.ledger.status(ref).error
    assert (service.embedder.embedded, service.texts()) == ([], [])
    later = Heir(tmp_path, vectors=heir.vectors, ledger=heir.ledger, stores=heir.parts.stores)
    later.clock.advance(120)
    assert later.adopt(later.plan()).is_switched
    assert (later.texts(), later.paid()) == (["original"], [])


def test_what_a_lost_ledger_had_begun_is_begun_again(heir: Heir, tmp_path: Path):
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    heir.adopter.begin(heir.plan())
    heir.work()
    assert heir.texts() == ["original"]
    heir.clock.advance(10)
    anew = Heir(tmp_path, vectors=heir.vectors, stores=heir.parts.stores)
    assert anew.adopt(anew.plan()).is_switched
    assert (anew.texts(), anew.paid()) == (["original"], [])


def test_a_ledger_lost_after_the_take_over_doubles_nothing(heir: Heir, tmp_path: Path):
    """A new one finds the collection behind the name; a check removes what it does not know."""
    heir.keep("HR/a.txt")
    heir.fill("HR", "a.txt", LATE, "original")
    heir.adopt()
    anew = Heir(tmp_path, vectors=heir.vectors, stores=heir.parts.stores)
    anew.ledger.last_run = 1_000  # a new ledger's runs begin above all before
    assert anew.plan().is_over
    ref = anew.observe("HR/a.txt")
    anew.later(10)
    assert anew.record(ref).collection == "HR_s2m"
    scanner = Scanner(anew.parts, lambda ref: anew.collections.label_of(ref) is not None)
    Checker(anew.parts, scanner).check([(BUCKET, "")], is_repairing=True)
    assert anew.texts() == ["read", "anew"]


def test_only_what_is_left_of_an_original_is_dropped(heir: Heir):
    heir.keep("HR/a.txt")
    heir.put("HR_original/b.txt", "ours")
    heir.work()
    heir.fill("Sales", "a.txt", LATE, "another's")
    heir.vectors.originals.aliases["HR"] = "Sales"
    for name in ("HR", "Sales", "HR_original"):
        with pytest.raises(ConfigError, match="nothing was dropped"):
            heir.adopter.drop_original(name)
    assert heir.vectors.collections() == ["HR_original", "Sales"]


def test_an_alias_is_not_taken_over_in_place_of_its_collection(heir: Heir):
    heir.keep("HR/a.txt")
    heir.fill("HR_2024", "a.txt", LATE, "original")
    heir.originals.aliases["HR"] = "HR_2024"
    with pytest.raises(ConfigError, match="HR is an alias of the collection HR_2024") as raised:
        heir.plan()
    assert "--collection HR_2024" in raised.value.hint


def test_a_ledger_that_knows_better_is_told(heir: Heir):
    heir.put("HR/a.txt", "indexed before")
    heir.work()
    heir.vectors.drop("HR")  # another Milvus
    heir.fill("HR", "a.txt", LATE, "original")
    with pytest.raises(ConfigError, match="The ledger has another collection for HR already: HR"):
        heir.adopt()
