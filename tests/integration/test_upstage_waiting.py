"""Submitted documents hold no worker, nothing is paid twice, and the service's rate is kept."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.parsers.upstage import UpstageParser
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.domain.retrying import RetryPolicy, TryAgain, next_step
from s3_to_milvus.errors import FatalError, RateLimited, Unavailable
from s3_to_milvus.ports import ParserInput
from tests.support.application import until
from tests.support.line import line_over
from tests.support.patience import SOON_S
from tests.support.pdfs import make_pdf
from tests.support.upstage_server import KEY, Fault, UpstageServer, upstage_server

PDF, HWP = "application/pdf", "application/x-hwp"


class _Time:
    """A clock whose sleeps pass at once."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.slept_s = 0.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept_s += seconds


@pytest.fixture
def server() -> Iterator[UpstageServer]:
    with upstage_server() as server:
        yield server


def _made(
    server: UpstageServer, tickets: MemoryTickets | None = None, clock: _Time | None = None, **options: Any
) -> UpstageParser:
    given = {"api_key": KEY, "api_url": server.url, "requests_per_second": 1_000, **options}
    made = UpstageParser.Options.model_validate(given)
    if clock is None:
        return UpstageParser(made, tickets=tickets)
    return UpstageParser(made, tickets=tickets, now=clock.now, sleep=clock.sleep)


def _pdf(pages: int) -> ParserInput:
    data = make_pdf([[f"Title {number}", "Line."] for number in range(1, pages + 1)])
    return ParserInput(PDF, "x", len(data), data=data)


def _at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


def _ends(server: UpstageServer) -> list[str]:
    return [path.rpartition("/")[2] for _, path in server.tried]


def test_a_worker_is_given_back_within_seconds_and_asks_ever_more_rarely(server: UpstageServer) -> None:
    server.polls_needed = 10**9
    clock = _Time()
    parser, source, waits = _made(server, clock=clock, sync_pages=1), _pdf(3), []
    for _ in range(40):
        clock.slept_s = 0.0
        with pytest.raises(RateLimited, match="still at work") as caught:
            parser.parse(source)
        assert clock.slept_s <= 3
        assert caught.value.retry_after_s is not None
        waits.append(caught.value.retry_after_s)
        clock.now_s += caught.value.retry_after_s
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (5.0, 60.0)
    assert len(server.posts) == 1
    assert server.polls["request-0"] < 50


def test_a_request_that_never_ends_is_charged_and_made_anew(server: UpstageServer) -> None:
    server.polls_needed = 10**9
    clock = _Time()
    parser, source = _made(server, clock=clock, sync_pages=1), _pdf(3)
    with pytest.raises(RateLimited):
        parser.parse(source)
    clock.now_s += 25 * 3_600
    with pytest.raises(Unavailable, match="24 hours") as caught:
        parser.parse(source)
    step = next_step(caught.value, 1, RetryPolicy(), 0.5)
    assert isinstance(step, TryAgain)
    assert step.is_charged
    server.polls_needed = 1
    assert list(parser.parse(source).blocks)
    assert len(server.posts) == 2


def test_a_result_that_nobody_fetched_for_days_is_no_request_that_never_ends(server: UpstageServer) -> None:
    server.polls_needed = 3
    clock = _Time()
    parser, source = _made(server, clock=clock, sync_pages=1, patience_s=0.01), _pdf(3)
    with pytest.raises(RateLimited):
        parser.parse(source)
    server.polls_needed = 1
    clock.now_s += 5 * 86_400
    assert list(parser.parse(source).blocks)
    assert len(server.posts) == 1


def test_a_clock_that_was_set_back_holds_no_worker(server: UpstageServer) -> None:
    server.polls_needed = 10**9
    clock = _Time()
    parser, source = _made(server, clock=clock, sync_pages=1), _pdf(3)
    with pytest.raises(RateLimited):
        parser.parse(source)
    clock.now_s -= 86_400
    clock.slept_s = 0.0
    with pytest.raises(RateLimited):
        parser.parse(source)
    assert clock.slept_s <= 3


def test_tickets_of_older_versions_are_good(server: UpstageServer) -> None:
    tickets, source = MemoryTickets(), _pdf(3)
    _made(server, tickets, sync_pages=1).parse(source)
    (key,) = (key for key, kept in tickets._held.items() if kept.startswith("request"))
    for kept, paid in (("request-0", 3), ("request-0 paid", 0)):
        tickets.put_ticket(key, kept)
        parser = _made(server, tickets, sync_pages=1)
        assert list(parser.parse(source).blocks)
        assert parser.pages_used == paid
    assert len(server.posts) == 1


def test_others_are_searchable_while_documents_are_read_there(server: UpstageServer, tmp_path: Path) -> None:
    server.polls_needed = 10**9
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(8):
        (docs / f"{number}.pdf").write_bytes(make_pdf([[f"Page of {number}"], ["Second"]]))
    options = {"api_key": KEY, "api_url": server.url, "requests_per_second": 100, "sync_pages": 1}
    with line_over(tmp_path / "data", [docs], parser__kind="upstage,text", parser__upstage=options) as line:
        line.mirror.scan(line.source)
        until(lambda: len(server.posts) >= 4)
        (docs / "small.txt").write_text("Whales live in the sea.")
        line.mirror.scan(line.source)
        until(lambda: "small.txt" in line.indexed())
    assert len(server.posts) <= 8


def test_a_document_that_was_read_in_part_is_paid_once_a_day_at_most(server: UpstageServer) -> None:
    server.failing_pages = {11}
    clock, tickets = _Time(), MemoryTickets()
    documents = []
    for _ in range(4):
        parser = _made(server, tickets, clock, sync_pages=5)
        documents.append(parser.parse(_pdf(25)))
    assert len(server.posts) == 1
    assert {each.warnings for each in documents} == {("pages 11-20 could not be read by Upstage",)}
    assert len({len(list(each.blocks)) for each in documents}) == 1
    server.failing_pages = set()
    clock.now_s += 86_401  # whoever tries again then may hope for all of it
    assert parser.parse(_pdf(25)).warnings == ()
    assert len(server.posts) == 2


@pytest.mark.parametrize(("sync_pages", "path"), [(100, "document-digitization"), (1, "async")])
def test_the_same_bytes_at_the_same_time_are_sent_once(server: UpstageServer, sync_pages: int, path: str) -> None:
    server.work_s = 0.3
    parser, source = _made(server, sync_pages=sync_pages), _pdf(3)
    documents = _at_once(4, lambda number: list(parser.parse(source).blocks))
    assert all(each == documents[0] for each in documents)
    assert _ends(server) == [path]
    assert parser.pages_used == 3


def test_different_documents_do_not_wait_for_each_other(server: UpstageServer) -> None:
    server.together = threading.Barrier(4, timeout=SOON_S)  # it answers none of them before it has all
    parser = _made(server)
    documents = _at_once(4, lambda number: list(parser.parse(_pdf(number + 1)).blocks))
    assert all(documents)


def test_what_failed_for_one_is_tried_by_the_next(server: UpstageServer) -> None:
    server.faults = [Fault(503)]
    parser, source = _made(server), _pdf(3)
    failed: list[Exception] = []

    def parse(_: int) -> int:
        try:
            return len(list(parser.parse(source).blocks))
        except Unavailable as exc:
            failed.append(exc)
            return 0

    counts = _at_once(3, parse)
    assert (len(failed), len(server.posts), sum(map(bool, counts))) == (1, 1, 2)


def test_what_was_too_slow_at_once_is_not_tried_so_again(server: UpstageServer) -> None:
    """Each of these attempts may be paid for."""
    server.standing = {"/document-digitization": Fault(504), "/async": Fault(503)}
    tickets, source = MemoryTickets(), _pdf(3)
    for _ in range(4):
        with pytest.raises(Unavailable):
            _made(server, tickets).parse(source)
    assert _ends(server) == ["document-digitization", *["async"] * 4]
    server.standing = {}
    assert list(_made(server, tickets).parse(source).blocks)
    assert _ends(server)[-1] == "async"


def test_a_server_without_submission_is_asked_at_once_again(server: UpstageServer) -> None:
    """Else one slow document would hold the queue for as long as its ticket stands."""
    server.standing = {"/document-digitization": Fault(504), "/async": Fault(404)}
    tickets, source = MemoryTickets(), _pdf(3)
    with pytest.raises(FatalError):
        _made(server, tickets).parse(source)
    server.standing = {"/async": Fault(404)}
    assert list(_made(server, tickets).parse(source).blocks)


def test_the_rate_that_is_set_is_never_exceeded(server: UpstageServer) -> None:
    """3 in a second are allowed; 2 by default leaves room for the network's moods."""
    server.per_second = 3
    options = {"api_key": KEY, "api_url": server.url}
    parser = UpstageParser(UpstageParser.Options.model_validate(options))
    gate = threading.Barrier(8)

    def parse(number: int) -> bool:
        gate.wait()
        return bool(list(parser.parse(ParserInput(HWP, "x", 5, data=b"hwp %d" % number)).blocks))

    assert all(_at_once(8, parse))
    moments = sorted(moment for moment, _ in server.tried)
    assert all(later - moment > 0.9 for moment, later in zip(moments, moments[3:], strict=False))
