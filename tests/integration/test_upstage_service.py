"""What Upstage's API may answer and what becomes of it: errors, batches, crashes, pages, reductions, secrets."""

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from PIL import Image
from structlog.testing import capture_logs

from s3_to_milvus.adapters.parsers.upstage import UpstageCutter, UpstageParser
from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.errors import (
    DocumentTooLarge,
    EncryptedDocument,
    FatalError,
    QuotaExhausted,
    RateLimited,
    S3ToMilvusError,
    Unauthorized,
    Unavailable,
    UnreadableDocument,
)
from s3_to_milvus.ports import ParserInput
from tests.support.corpus import corpus_file
from tests.support.pdfs import make_pdf
from tests.support.upstage_parsing import made_parser as _made
from tests.support.upstage_server import KEY, Fault, UpstageServer, upstage_server

PDF, HWP = "application/pdf", "application/x-hwp"


class _Tickets(dict[str, str]):
    """In memory; ``puts`` counts."""

    def ticket(self, key: str) -> str | None:
        return self.get(key)

    def put_ticket(self, key: str, value: str) -> None:
        self[key] = value

    def drop_ticket(self, key: str) -> None:
        self.pop(key, None)


@pytest.fixture
def server() -> Iterator[UpstageServer]:
    with upstage_server() as server:
        yield server


@pytest.fixture
def _whole_log() -> None:
    """Of all levels, whatever a test before has set."""
    structlog.reset_defaults()


def _pdf(pages: int) -> ParserInput:
    data = make_pdf([[f"Title {number}", f"Line of page {number}."] for number in range(1, pages + 1)])
    return ParserInput(PDF, "휴가 규정.pdf", len(data), data=data)


def _headings(blocks: list[Block]) -> list[tuple[str, int | None]]:
    return [(block.text, block.page) for block in blocks if block.kind is BlockKind.HEADING]


@pytest.mark.parametrize(
    ("fault", "expected", "wait_s"),
    [
        (Fault(401), Unauthorized, None),
        (Fault(403), Unauthorized, None),
        (Fault(402), QuotaExhausted, None),
        (Fault(404), FatalError, None),
        (Fault(400), UnreadableDocument, None),
        (Fault(415), UnreadableDocument, None),
        (Fault(422), UnreadableDocument, None),
        (Fault(429, {"Retry-After": "4"}), RateLimited, 4.0),
        (Fault(429), RateLimited, None),
        (Fault(500), Unavailable, None),
        (Fault(503, {"Retry-After": "9"}), Unavailable, 9.0),
        (Fault(is_cut=True), Unavailable, None),
        (Fault(200, body=b"no json"), Unavailable, None),
        (Fault(200, body=b"[]"), Unavailable, None),
    ],
)
def test_every_failure_has_its_family(
    server: UpstageServer, fault: Fault, expected: type[S3ToMilvusError], wait_s: float | None
) -> None:
    parser = _made(server)
    server.faults = [fault]
    with pytest.raises(expected) as caught:
        parser.parse(_pdf(1))
    assert getattr(caught.value, "retry_after_s", None) == wait_s
    for secret in ("secret", KEY, "up_", "휴가"):
        assert secret not in str(caught.value) + caught.value.hint


def test_a_key_is_needed_and_never_shown(server: UpstageServer) -> None:
    for key, said in (("", "No key"), ("up_wrong", "refuses the key")):
        parser = _made(server, api_key=key)
        with pytest.raises(Unauthorized, match=said) as caught:
            parser.check()
        assert "UPSTAGE_API_KEY" in caught.value.hint
        assert "up_wrong" not in str(caught.value) + repr(parser._options)
    good = _made(server)
    assert "takes the key" in good.check()
    assert server.posts == []


def test_elements_become_blocks_with_their_places(server: UpstageServer) -> None:
    parser = _made(server)
    document = parser.parse(_pdf(1))
    blocks = list(document.blocks)
    assert [(block.kind.value, block.text) for block in blocks] == [
        ("heading", "Title 1"),
        ("paragraph", "Line of page 1."),
        ("table", ""),
        ("figure", "a picture"),
        ("caption", "그림 설명"),
    ]
    assert blocks[2].rows == (("이름", "쪽"), ("연차", "1"))
    assert blocks[0].box is not None
    assert (blocks[0].box.left, blocks[0].box.top, blocks[0].box.bottom) == (0.1, 0.2, 1.0)
    (path, fields, _) = server.posts[0]
    assert path == "/v1/document-digitization"
    assert fields["output_formats"] == "['html']"
    assert parser.pages_used == 1
    kept = _made(server, keep_headers=True)
    assert "running footer" in [block.text for block in kept.parse(_pdf(1)).blocks]


def test_only_wanted_pages_are_sent(server: UpstageServer) -> None:
    parser = _made(server)
    document = parser.parse(replace(_pdf(9), pages=(3, 7)))
    assert _headings(list(document.blocks)) == [("Title 3", 3), ("Title 7", 7)]
    assert parser.pages_used == 2


@pytest.mark.parametrize("is_relative", [False, True])
def test_long_documents_are_submitted_and_joined(server: UpstageServer, is_relative: bool) -> None:
    server.is_relative, server.polls_needed = is_relative, 3
    parser = _made(server, sync_pages=5)
    document = parser.parse(_pdf(25))
    assert _headings(list(document.blocks)) == [(f"Title {number}", number) for number in range(1, 26)]
    assert [path.rpartition("/")[2] for path, _, _ in server.posts] == ["async"]
    assert (document.page_count, parser.pages_used) == (25, 25)


def test_a_limit_that_we_did_not_know_leads_to_submission(server: UpstageServer) -> None:
    server.sync_pages = 3
    parser = _made(server)
    assert len(_headings(list(parser.parse(_pdf(12)).blocks))) == 12
    assert len(server.posts) == 2


def test_very_long_documents_are_cut_and_joined(server: UpstageServer) -> None:
    parser = _made(server, part_pages=4)
    document = parser.parse(_pdf(10))
    assert _headings(list(document.blocks)) == [(f"Title {number}", number) for number in range(1, 11)]
    assert len(server.posts) == 3


def test_a_crash_does_not_pay_twice(server: UpstageServer) -> None:
    tickets, source = _Tickets(), _pdf(12)
    server.polls_needed = 1_000
    first = _made(server, tickets, sync_pages=5, patience_s=0.05)
    with pytest.raises(RateLimited, match="still at work") as caught:
        first.parse(source)
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s < 5  # it grows with the time that has passed since it was sent
    server.polls_needed = 1
    again = _made(server, tickets, sync_pages=5)
    assert len(_headings(list(again.parse(source).blocks))) == 12
    assert len(server.posts) == 1
    server.requests.clear()
    with pytest.raises(Unavailable, match="any more"):
        again.parse(source)
    assert len(_headings(list(again.parse(source).blocks))) == 12
    assert len(server.posts) == 2


def test_a_document_that_fails_there_is_unreadable_and_forgotten(server: UpstageServer) -> None:
    tickets = _Tickets()
    server.is_failing = True
    parser = _made(server, tickets, sync_pages=1)
    with pytest.raises(UnreadableDocument) as caught:
        parser.parse(_pdf(2))
    assert "secret" not in str(caught.value)
    assert tickets == {}


def test_an_address_that_expired_is_asked_for_again(server: UpstageServer) -> None:
    server.expiring = 1
    parser = _made(server, sync_pages=1)
    assert len(_headings(list(parser.parse(_pdf(3)).blocks))) == 3


def test_hwp_goes_as_it_is(server: UpstageServer) -> None:
    parser = _made(server)
    source = ParserInput(HWP, "문서.hwp", 3, data=b"hwp")
    blocks = list(parser.parse(source).blocks)
    assert _headings(blocks) == [("제1장 총칙", 1)]
    assert server.posts[0][2] == b"hwp"


def test_passwords_are_taken_off_before(server: UpstageServer) -> None:
    path = corpus_file("pdf_password_openpassword.pdf")
    source = ParserInput(PDF, "x", path.stat().st_size, path=path)
    parser = _made(server)
    with pytest.raises(EncryptedDocument):
        parser.parse(source)
    assert list(parser.parse(replace(source, passwords=("openpassword",))).blocks)


def test_large_pictures_are_reduced_before(server: UpstageServer) -> None:
    held = io.BytesIO()
    Image.frombytes("RGB", (800, 700), os.urandom(800 * 700 * 3)).save(held, "PNG")
    data = held.getvalue()
    assert len(data) > 1 << 20
    parser = _made(server, image_mb=1)
    parser.parse(ParserInput("image/png", "x.png", len(data), data=data))
    sent = server.posts[0][2]
    assert len(sent) <= 1 << 20
    assert Image.open(io.BytesIO(sent)).format == "JPEG"


def test_text_is_no_picture_and_damage_is_told() -> None:
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1))
    found = cutter.parse(replace(_pdf(3), size_bytes=5 << 20))
    assert (list(found.attachments), found.unread_pages) == ([], ())
    with pytest.raises(UnreadableDocument):
        cutter.parse(ParserInput("image/png", "x", 2 << 20, data=b"no picture"))


def test_options_that_change_results_change_the_fingerprint() -> None:
    def mark(**options: Any) -> str:
        parser = UpstageParser(UpstageParser.Options.model_validate(options))
        return parser.fingerprint

    assert mark() == mark(api_key="x", requests_per_second=1, sync_pages=3)
    others = [mark(model="m"), mark(mode="auto"), mark(ocr="force"), mark(keep_headers=True), mark()]
    assert len(set(others)) == 5


def test_more_pages_than_allowed_are_refused_before_anything_is_paid(server: UpstageServer) -> None:
    from s3_to_milvus.domain.document_limits import DocumentLimits

    parser = _made(server)
    with pytest.raises(DocumentTooLarge):
        parser.parse(replace(_pdf(3), limits=DocumentLimits(pages=2)))
    assert server.posts == []


@pytest.mark.usefixtures("_whole_log")
def test_a_model_behind_the_alias_that_changes_is_told_and_reads_nothing_anew(server: UpstageServer) -> None:
    tickets = _Tickets()
    marks: list[str] = []
    told = []
    for dated, sync_pages in (("260128", 100), ("260128", 1), ("260930", 1), ("260930", 100)):
        server.dated = f"document-parse-{dated}"
        parser = _made(server, tickets, sync_pages=sync_pages)  # each is that of a new process
        with capture_logs() as logs:
            parser.parse(_pdf(len(marks) + 2))
            parser.parse(_pdf(len(marks) + 20))
        marks.append(parser.fingerprint)
        told.append([(each["event"], each["log_level"], each["model"][-6:]) for each in logs])
    known = [[("upstage.model", "info", dated)] for dated in ("260128", "260930")]
    assert told == [known[0], known[0], [("upstage.model_changed", "warning", "260930")], known[1]]
    assert len(set(marks)) == 1


def test_a_pinned_model_is_asked_for_by_its_dated_name(server: UpstageServer) -> None:
    _made(server, model="document-parse-260128").parse(_pdf(1))
    assert server.posts[0][1]["model"] == "document-parse-260128"


@pytest.mark.usefixtures("_whole_log")
@pytest.mark.parametrize("model", ['"quoted secret text"', "7", "null", '""'])
def test_nonsense_is_no_name_of_a_model(server: UpstageServer, model: str) -> None:
    server.faults = [Fault(200, body=b'{"elements": [], "model": %s}' % model.encode())]
    with capture_logs() as logs:
        _made(server).parse(_pdf(1))
    assert logs == []
