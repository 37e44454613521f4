"""Upstage is asked, and paid, once for the same pages; what it gives in other shapes is read, too."""

import io
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from s3_to_milvus.adapters.parsers.upstage import UpstageCutter
from s3_to_milvus.adapters.parsers.upstage.elements import blocks_of
from s3_to_milvus.adapters.parsers.upstage.held import HeldAnswers
from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.errors import QuotaExhausted, RateLimited, Unavailable, UnreadableDocument
from s3_to_milvus.ports import ParserInput
from tests.support.upstage_parsing import made_parser as _made
from tests.support.upstage_parsing import pdf_of as _pdf
from tests.support.upstage_server import Fault, UpstageServer, upstage_server

PDF = "application/pdf"


@pytest.fixture
def server() -> Iterator[UpstageServer]:
    with upstage_server() as server:
        yield server


def _tiff(frames: int, side: int) -> ParserInput:
    pictures = [Image.frombytes("L", (side, side), os.urandom(side * side)) for _ in range(frames)]
    held = io.BytesIO()
    pictures[0].save(held, "TIFF", save_all=True, append_images=pictures[1:])
    return ParserInput("image/tiff", "x", held.tell(), data=held.getvalue())


def _blocks(*elements: dict[str, Any]) -> list[Block]:
    return list(blocks_of({"elements": list(elements)}, {}, keep_margins=False))


def _element(category: str, html: str, **more: Any) -> dict[str, Any]:
    return {"page": 1, "category": category, "content": {"html": html}, **more}


def test_a_document_is_paid_once_however_often_what_follows_fails(server: UpstageServer) -> None:
    """OpenAI is out of credit, Milvus is down: the object is tried again, and parsed each time."""
    parser = _made(server)
    documents = [list(parser.parse(_pdf(3)).blocks) for _ in range(4)]
    assert documents[0]
    assert all(each == documents[0] for each in documents)
    assert (len(server.posts), parser.pages_used) == (1, 3)
    parser.parse(_pdf(2))
    _made(server, mode="enhanced").parse(_pdf(3))
    assert len(server.posts) == 3


def test_answers_are_held_within_bounds() -> None:
    now = [0.0]
    held = HeldAnswers(most_bytes=2_000, age_s=60, clock=lambda: now[0])
    answers = {str(number): {"content": {"html": random.Random(number).randbytes(300).hex()}} for number in range(9)}
    for key, answer in answers.items():
        held.put(key, answer)
        held.put(key, answer)  # in place of itself
    assert held.get("8") == answers["8"]
    kept = [key for key in answers if held.get(key)]
    assert kept == list(answers)[-len(kept) :]
    assert 2 <= len(kept) < 9
    now[0] = 61
    assert not any(held.get(key) for key in answers)
    assert held._bytes == 0
    held.put("odd", {"text": "\ud800 한글"})
    assert held.get("odd") == {"text": "\ud800 한글"}


def test_parts_of_a_long_pdf_are_the_same_bytes_whenever_they_are_cut() -> None:
    cutter = UpstageCutter(UpstageCutter.Options(part_pages=4))
    first = [each.data for each in cutter.parse(_pdf(10)).attachments]
    again = [each.data for each in cutter.parse(_pdf(10)).attachments]
    assert len(first) == 3
    assert first == again


def test_a_long_pdf_that_takes_its_time_is_submitted_once(server: UpstageServer) -> None:
    tickets, source = MemoryTickets(), _pdf(10)
    server.polls_needed = 1_000
    for _ in range(3):
        with pytest.raises(RateLimited, match="still at work"):
            _made(server, tickets, sync_pages=1, part_pages=4, patience_s=0.01).parse(source)
    assert len(server.posts) == 1


def test_a_page_is_not_paid_again_when_another_one_failed(server: UpstageServer) -> None:
    parser, source = _made(server), _pdf(3)
    parser.parse(replace(source, pages=(1,)))
    server.faults = [Fault(503)]
    with pytest.raises(Unavailable):
        parser.parse(replace(source, pages=(2,)))
    for number in (1, 2, 3):
        assert next(iter(parser.parse(replace(source, pages=(number,))).blocks)).page == number
    assert (parser.pages_used, len(server.posts)) == (3, 3)


def test_what_was_paid_is_counted_once(server: UpstageServer) -> None:
    parser = _made(server, sync_pages=1)
    parser.parse(_pdf(12))
    parser.parse(_pdf(12))
    assert (parser.pages_used, len(server.posts)) == (12, 1)


def test_pages_that_are_pictures_are_read_by_ocr(server: UpstageServer) -> None:
    parser = _made(server)
    parser.parse(_pdf(2))
    parser.parse(replace(_pdf(2), pages=(2,)))
    assert [fields["ocr"] for _, fields, _ in server.posts] == ["auto", "force"]


def test_pages_without_text_are_named_as_unread(server: UpstageServer) -> None:
    answer = b'{"elements": [{"page": 2, "category": "paragraph", "content": {"html": "<p>a</p>"}},'
    answer += (
        b' {"page": 3, "category": "figure", "content": {"html": "<figure><img></figure>"}}], "usage": {"pages": 3}}'
    )
    server.faults = [Fault(200, body=answer)] * 2
    assert _made(server).parse(_pdf(3)).unread_pages == (1, 3)
    assert _made(server, ocr="force").parse(_pdf(3)).unread_pages == ()


def test_a_batch_that_failed_leaves_a_warning(server: UpstageServer) -> None:
    server.failing_pages = {11}
    document = _made(server, sync_pages=1).parse(_pdf(25))
    assert document.warnings == ("pages 11-20 could not be read by Upstage",)
    assert {block.page for block in document.blocks} == {*range(1, 11), *range(21, 26)}
    server.failing_pages = {1}
    with pytest.raises(UnreadableDocument):
        _made(server, sync_pages=1).parse(_pdf(3))


def test_what_takes_too_long_at_once_is_submitted(server: UpstageServer) -> None:
    server.faults = [Fault(504)]
    assert list(_made(server).parse(_pdf(2)).blocks)
    assert [path.rpartition("/")[2] for path, _, _ in server.posts] == ["async"]


def test_used_up_credit_is_no_wrong_key(server: UpstageServer) -> None:
    body = b'{"error": {"message": "suspended due to insufficient credit", "code": "api_key_is_not_allowed"}}'
    server.faults = [Fault(401, body=body)]
    with pytest.raises(QuotaExhausted):
        _made(server).parse(_pdf(1))


@pytest.mark.parametrize("wait", ["inf", "nan", "soon"])
def test_nonsense_is_no_time_to_wait(server: UpstageServer, wait: str) -> None:
    server.faults = [Fault(429, {"Retry-After": wait})]
    with pytest.raises(RateLimited) as caught:
        _made(server).parse(_pdf(1))
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize(
    "path", ["", "/v1", "/v1/", "/v1/document-ai/document-parse", "/v1/document-ai/async/document-parse"]
)
def test_older_addresses_lead_to_the_service(server: UpstageServer, path: str) -> None:
    base = server.url.partition("/v1")[0]
    assert list(_made(server, api_url=f"{base}{path}").parse(_pdf(1)).blocks)
    assert server.posts[0][0] == "/v1/document-digitization"


def test_every_page_of_a_large_tiff_is_sent(server: UpstageServer) -> None:
    assert _made(server).parse(_tiff(3, 60)).page_count == 1  # as the answer says
    cut = UpstageCutter(UpstageCutter.Options(image_mb=1)).parse(_tiff(3, 900))
    (part,) = cut.attachments
    assert (cut.page_count, part.name) == (3, "3-reduced.pdf")
    assert part.data is not None
    assert len(part.data) <= 1 << 20
    parser = _made(server, image_mb=1)
    assert parser.parse(_tiff(3, 900)).page_count == 3
    assert server.posts[-1][1]["ocr"] == "force"


def test_lists_levels_code_and_pictures_keep_what_they_say() -> None:
    blocks = _blocks(
        _element("heading1", "<h3>소제목</h3>"),
        _element("list", "<p data-category='list'>- 첫째<br>이어짐<br>- 둘째</p>"),
        _element("code", "<pre><code>if a:\n    b</code></pre>"),
        _element("figure", "<figure><img alt='표지 &amp; 글자'></figure>"),
        _element("figure", "<figure><img alt='x'><table><tr><td>가</td><td>나</td></tr></table></figure>"),
        _element("paragraph", "<p>끝</p>", coordinates=[{"x": float("nan"), "y": 0}]),
    )
    assert [(block.kind, block.level, block.text) for block in blocks] == [
        (BlockKind.HEADING, 3, "소제목"),
        (BlockKind.LIST_ITEM, 0, "- 첫째\n이어짐"),
        (BlockKind.LIST_ITEM, 0, "- 둘째"),
        (BlockKind.CODE, 0, "if a:\n    b"),
        (BlockKind.FIGURE, 0, "표지 & 글자"),
        (BlockKind.TABLE, 0, ""),
        (BlockKind.PARAGRAPH, 0, "끝"),
    ]
    assert blocks[-1].box is None
