"""What paid services charge lands in the run that it was charged for: once, and whatever became of the attempt."""

from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from s3_to_milvus.domain.documents import Attachment, Block, BlockKind, Document
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import RunStats
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.engine.search import Searcher
from s3_to_milvus.engine.tally import Tally
from s3_to_milvus.errors import Rejected, Unauthorized, Unavailable
from s3_to_milvus.ports import ParserInput, spend
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.parser import FAIL_PERMANENT, FAIL_TRANSIENT, FakeParser
from s3_to_milvus.testing.fakes.vector_store import MemoryVectorStore
from tests.unit.engine.house import BUCKET, House

_BOOK = "application/zip"  # what the house takes a ``.zip`` for
_CALL = Usage(tokens=1_001, nano_usd=130_130)
_PAGE = Usage(pages=1, nano_usd=10_000_000)


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


class Expensive(House):
    """Every call of the embedder and every file that is parsed costs; one sums up what is told to a sync."""

    def __init__(self, scratch, *, script=(), **more):
        embedder = FakeEmbedder(script=script, charge=_CALL)
        super().__init__(scratch, embedder=embedder, **more)
        self.requests = embedder.calls
        self.tally = Tally(BUCKET, "")

    def work(self):
        super().work()
        for done in self.done:
            self.tally.take(done)
        self.done.clear()

    def spent(self, ref: ObjectRef) -> list[tuple[str, Usage]]:
        """Outcome and cost of each attempt, the first one first."""
        return [(run.outcome, run.stats.usage) for run in reversed(self.ledger.runs(ref))]


def test_a_request_is_paid_by_the_documents_whose_texts_it_held(tmp_path):
    house = Expensive(tmp_path)
    short, long = house.put("a/s.txt", "x"), house.put("a/l.txt", "long " * 500)
    house.work()
    assert len(house.requests) == 1
    ((_, small),), ((_, large),) = house.spent(short), house.spent(long)
    assert small + large == _CALL
    assert 0 < small.tokens < large.tokens / 100
    assert house.tally.usage == _CALL


def test_what_stands_already_costs_nothing(tmp_path):
    house = Expensive(tmp_path)
    ref = house.put("a/x.txt", "one\n\ntwo")
    house.work()
    house.put("a/x.txt", "two\n\none")
    house.work()
    house.observe("a/x.txt")
    house.work()
    assert [usage for _, usage in house.spent(ref)] == [_CALL, Usage(), Usage()]


def test_a_failed_attempt_tells_what_it_cost(tmp_path):
    house = Expensive(tmp_path, script=[Unavailable("away"), Unauthorized("no key"), None])
    refs = [house.put("a/x.txt", "one"), house.put("a/y.txt", "other")]
    house.work()
    house.clock.advance(60)
    with pytest.raises(Unauthorized):
        house.work()
    house.later(60)
    for ref, size in zip(refs, (5, 7), strict=True):  # of "x\none" and "y\nother"
        (first, failed), (second, held), (last, paid) = house.spent(ref)
        assert (first, second, last) == ("failed", "failed", "indexed")
        assert all(abs(usage.tokens - 1_001 * size / 12) <= 1 for usage in (failed, held, paid))
    for attempt in range(3):
        assert sum((house.spent(ref)[attempt][1] for ref in refs), Usage()) == _CALL


def test_a_refused_text_costs_its_neighbours_their_part_of_both_requests(tmp_path):
    house = Expensive(tmp_path, script=[Rejected("one of them"), Rejected("this one"), None])
    bad, good = house.put("a/1.txt", "one"), house.put("a/2.txt", "two")
    house.work()
    (outcome, lost), *more = house.spent(bad)
    (indexed, paid), *others = house.spent(good)
    assert (outcome, indexed, more, others) == ("failed", "indexed", [], [])
    assert lost + paid == _CALL + _CALL + _CALL
    assert lost.tokens > 1_001 < paid.tokens


def test_a_file_that_cannot_be_read_is_paid_for_all_the_same(tmp_path):
    parser = FakeParser()
    parser.charge = _PAGE
    house = Expensive(tmp_path, parsers=[parser])
    ref = house.put("a/x.txt", FAIL_PERMANENT)
    house.work()
    assert house.spent(ref) == [("failed", _PAGE)]


def test_pages_that_were_read_count_where_the_attempt_fails_later(tmp_path):
    house = Expensive(tmp_path, parsers=[_Book(), _Eyes()], script=[Unavailable("away"), None])
    ref = house.put("a/x.zip", "x")
    house.work()
    house.later(60)
    four = _PAGE + _PAGE + _PAGE + _PAGE
    assert house.spent(ref) == [("failed", four + _CALL), ("indexed", four + _CALL)]


class _Book(FakeParser):
    """One page costs at once, one when its blocks are taken; two are pictures."""

    kind = "book"

    def __init__(self) -> None:
        super().__init__(frozenset({_BOOK}))

    def parse(self, source: ParserInput) -> Document:
        def blocks() -> Iterator[Block]:
            yield Block(BlockKind.PARAGRAPH, "first", page=1)
            spend(_PAGE)
            yield Block(BlockKind.PARAGRAPH, "last", page=4)

        spend(_PAGE)
        return Document(blocks(), _BOOK, page_count=4, unread_pages=(2, 3))


class _Eyes(FakeParser):
    """Reads pages, in threads of the engine's."""

    kind = "eyes"
    page_media_types = frozenset({_BOOK})

    def __init__(self) -> None:
        super().__init__(frozenset())

    def parse(self, source: ParserInput) -> Document:
        spend(_PAGE)
        return Document([Block(BlockKind.PARAGRAPH, "seen", page=page) for page in source.pages or ()], _BOOK)


class _Box(FakeParser):
    """A text file in a box."""

    kind = "box"

    def __init__(self) -> None:
        super().__init__(frozenset({_BOOK}))

    def parse(self, source: ParserInput) -> Document:
        return Document([], _BOOK, attachments=[Attachment("inside.txt", b"inside")])


def test_a_file_inside_a_file_is_paid_by_the_document(tmp_path):
    text = FakeParser()
    text.charge = _PAGE
    house = Expensive(tmp_path, parsers=[_Box(), text])
    ref = house.put("a/x.zip", "x")
    house.work()
    assert house.spent(ref) == [("indexed", _PAGE + _CALL)]


def test_one_document_never_pays_for_the_next_one(tmp_path):
    parser = FakeParser()
    parser.charge = _PAGE
    house = Expensive(tmp_path, parsers=[parser], config=EngineConfig(load_rows=1))
    refs = [house.put(f"a/{number}.txt", "one\n\ntwo") for number in range(3)]
    house.work()
    assert [house.spent(ref) for ref in refs] == [[("indexed", _PAGE + _CALL + _CALL)]] * 3


class _Slow(FakeParser):
    """Another host takes the object meanwhile; this one may know that its lease is over, or may not."""

    house: House
    late_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.charge = _PAGE

    def parse(self, source: ParserInput) -> Document:
        self.house.clock.advance(self.late_s)
        self.house.ledger.claim("other", 10, self.house.clock.now() + 1_000, 60.0)
        return super().parse(source)


class _SlowVectors(MemoryVectorStore):
    """The lease runs out while rows are inserted."""

    house: House

    def insert(self, collection, rows):
        self.house.clock.advance(1_000)
        return super().insert(collection, rows)


@pytest.mark.parametrize(
    ("late_s", "vectors", "text", "paid"),
    [
        pytest.param(1_000, MemoryVectorStore, "one", _PAGE, id="known before the texts are embedded"),
        pytest.param(0, _SlowVectors, "one", _PAGE + _CALL, id="known before the commit"),
        pytest.param(0, MemoryVectorStore, "one", _PAGE + _CALL, id="refused by the commit"),
        pytest.param(0, MemoryVectorStore, FAIL_TRANSIENT.decode(), _PAGE, id="refused when it is put off"),
    ],
)
def test_an_attempt_that_lost_its_object_tells_what_it_cost(tmp_path, late_s, vectors, text, paid):
    parser, store = _Slow(), vectors()
    house = Expensive(tmp_path, parsers=[parser], vectors=store)
    parser.house = store.house = house
    parser.late_s = late_s
    ref = house.put("a/x.txt", text)
    assert house.worker.step() == 1
    house.work()
    assert house.spent(ref) == [("lost", paid), ("running", Usage())]
    assert house.tally.usage == paid
    assert house.tally.finished == 0
    assert house.texts() == []


def test_a_claim_in_work_can_be_asked_what_it_cost(tmp_path):
    found: list[RunStats | None] = []

    class _Asked(FakeParser):
        def parse(self, source: ParserInput) -> Document:
            spend(_PAGE)
            (claim,) = house.leases.held()
            found.append(house.worker.stats_of(claim))
            return super().parse(source)

    house = Expensive(tmp_path, parsers=[_Asked()])
    house.put("a/x.txt", "one")
    house.work()
    assert [stats and stats.usage for stats in found] == [_PAGE]
    assert house.worker._drafts == {}


def test_the_log_says_what_was_charged_and_is_silent_about_nothing(tmp_path):
    house = Expensive(tmp_path)
    structlog.reset_defaults()
    with capture_logs() as lines:
        house.put("a/x.txt", "one")
        house.work()
        house.observe("a/x.txt")
        house.work()
    first, second = [line for line in lines if line["event"] == "run.finished"]
    assert (first["tokens"], first["usd"]) == (1_001, 0.00013013)
    assert "pages" not in first
    assert not {"tokens", "pages", "usd"} & set(second)


def test_metrics_count_runs_and_searches(tmp_path):
    def figures() -> list[float]:
        return [REGISTRY.get_sample_value(f"s2m_usage_{name}_total") or 0.0 for name in ("tokens", "pages", "usd")]

    before = figures()
    parser = FakeParser()
    parser.charge = _PAGE
    house = Expensive(tmp_path, parsers=[parser])
    house.put("a/x.txt", "one")
    house.work()
    Searcher(house.parts).search("one")
    grown = [now - then for now, then in zip(figures(), before, strict=True)]
    assert grown == pytest.approx([2_002, 1, 0.01026026])


def test_a_sync_reports_the_sum_of_all_attempts(tmp_path):
    house = Expensive(tmp_path, script=[Unavailable("away"), None])
    house.put("a/x.txt", "one")
    house.work()
    house.later(60)
    report = house.tally.report("s3://bucket/", house.ledger.counts(), 1.0)
    assert (report.tokens, report.pages, report.usd) == (2_002, 0, 0.00026026)
