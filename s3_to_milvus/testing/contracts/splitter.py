"""What every splitter must do."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import count, islice

import pytest

from s3_to_milvus.domain.documents import Block, BlockKind, Chunk, Document
from s3_to_milvus.domain.limits import TEXT_BYTES
from s3_to_milvus.ports import Splitter

__all__ = ["SplitterContract"]

_NFD = unicodedata.normalize("NFD", "휴가는 열다섯 날이다. ")
_HUGE = ("가" * 70_000, _NFD * 8_000, "word " * 30_000, "x" * 200_000, "한 문장이다." * 20_000, "🏳️‍🌈" * 20_000)


class SplitterContract:
    """Inherit it and provide the fixture ``splitter``."""

    @pytest.fixture
    def splitter(self) -> Splitter:
        """The splitter under test."""
        raise NotImplementedError

    def test_it_says_what_it_is(self, splitter: Splitter) -> None:
        """Kind and fingerprint are there."""
        assert splitter.kind
        assert splitter.fingerprint
        assert all(name and own for name, own in splitter.own_fingerprints.items())
        assert splitter.check()

    def test_chunks_are_numbered_from_zero(self, splitter: Splitter) -> None:
        """Without a gap."""
        chunks = _chunks(splitter, _report())
        assert chunks
        assert [chunk.number for chunk in chunks] == list(range(len(chunks)))

    def test_every_word_of_the_document_is_found_in_order(self, splitter: Splitter) -> None:
        """Words of paragraphs and of cells."""
        chunks = _chunks(splitter, _report())
        words = [f"word{number}w" for number in range(400)] + [f"cell{number}c" for number in range(300)]
        places = [next(chunk.number for chunk in chunks if word in chunk.text) for word in words]
        assert places == sorted(places)

    def test_rows_are_whole_lines(self, splitter: Splitter) -> None:
        """A row is `a | b`, and never cut when it fits."""
        chunks = _chunks(splitter, _report())
        for number in range(300):
            row = f"cell{number}c | {number}"
            assert any(row in chunk.text.split("\n") for chunk in chunks), row

    @pytest.mark.parametrize("text", _HUGE, ids=["hangul", "jamo", "spaces", "solid", "sentences", "emoji"])
    def test_chunks_fit_into_milvus_and_lose_nothing(self, splitter: Splitter, text: str) -> None:
        """Whatever the text, bytes are bounded and no character is missing."""
        chunks = _chunks(splitter, [Block(BlockKind.PARAGRAPH, text)])
        _assert_sound(chunks)
        assert len("".join("".join(chunk.text.split()) for chunk in chunks)) >= len("".join(text.split()))

    def test_huge_rows_and_headings_fit_too(self, splitter: Splitter) -> None:
        """Cells and headings of megabytes; heading paths stay short."""
        rows = (("머리" * 20_000, "b"), ("칸" * 30_000, "x | y" * 10_000), ("", ""))
        blocks = [
            Block(BlockKind.HEADING, "제목" * 20_000, level=1),
            Block(BlockKind.TABLE, rows=rows, has_header=True),
            Block(BlockKind.PARAGRAPH, "끝."),
        ]
        chunks = _chunks(splitter, blocks)
        _assert_sound(chunks)
        assert chunks[-1].text.endswith("끝.")
        assert all(len("".join(chunk.heading)) < 1_000 for chunk in chunks)

    def test_no_text_makes_no_chunk(self, splitter: Splitter) -> None:
        """Neither does blank text."""
        blank = [
            Block(BlockKind.PARAGRAPH, " \n "),
            Block(BlockKind.PARAGRAPH, "\0"),
            Block(BlockKind.HEADING, "", level=1),
            Block(BlockKind.TABLE, rows=(("", " "), ()), has_header=True),
            Block(BlockKind.TABLE),
        ]
        assert _chunks(splitter, []) == []
        assert _chunks(splitter, blank) == []

    def test_text_that_no_server_takes_is_made_storable(self, splitter: Splitter) -> None:
        """NUL and lone surrogates."""
        chunks = _chunks(splitter, [Block(BlockKind.PARAGRAPH, "vor\0her \ud800 nachher")])
        _assert_sound(chunks)
        assert "vorher" in chunks[0].text

    def test_an_endless_document_is_read_as_a_stream(self, splitter: Splitter) -> None:
        """Chunks come before the blocks end."""
        blocks = (Block(BlockKind.PARAGRAPH, f"paragraph {number} " + "text " * 400) for number in count())
        chunks = list(islice(splitter.split(Document(blocks, "text/plain"), "label"), 3))
        assert [chunk.number for chunk in chunks] == [0, 1, 2]

    def test_the_same_document_gives_the_same_chunks(self, splitter: Splitter) -> None:
        """Twice, from two streams."""
        assert _chunks(splitter, _report()) == _chunks(splitter, _report())

    def test_pages_are_named_but_not_in_the_text(self, splitter: Splitter) -> None:
        """Other page numbers change no text; pages ascend."""
        numbered = _chunks(splitter, _paged(first_page=1))
        shifted = _chunks(splitter, _paged(first_page=7))
        assert [chunk.text for chunk in numbered] == [chunk.text for chunk in shifted]
        assert all(chunk.page for chunk in numbered)
        assert {span.page for chunk in numbered for span in chunk.pages} == set(range(1, 11))
        for chunk in numbered:
            pages = [span.page for span in chunk.pages]
            assert pages == sorted(set(pages))
            assert {int(page) for page in re.findall(r"page-(\d+)-", chunk.text)} <= set(pages)

    def test_headings_are_headings_of_the_document(self, splitter: Splitter) -> None:
        """And nothing else."""
        found = {heading for chunk in _chunks(splitter, _report()) for heading in chunk.heading}
        assert found <= {"Report", "Numbers"}


def _report() -> Iterator[Block]:
    """Headings, paragraphs with ``word0w`` to ``word399w``, a table with ``cell0c`` to ``cell299c``; one pass only."""
    yield Block(BlockKind.HEADING, "Report", level=1)
    for start in range(0, 400, 20):
        yield Block(BlockKind.PARAGRAPH, " ".join(f"word{number}w 말이다." for number in range(start, start + 20)))
    yield Block(BlockKind.HEADING, "Numbers", level=2)
    rows = (("name", "value"), *((f"cell{number}c", str(number)) for number in range(300)))
    yield Block(BlockKind.TABLE, rows=rows, has_header=True)


def _paged(first_page: int) -> Iterator[Block]:
    for page in range(10):
        for number in range(4):
            text = f"page-{page + 1}-{number} " + "내용 " * 100
            # the text always says 1 to 10: only the number beside it moves
            yield Block(BlockKind.PARAGRAPH, text, page=page + first_page)


def _chunks(splitter: Splitter, blocks: Iterable[Block]) -> list[Chunk]:
    return list(splitter.split(Document(blocks, "text/plain"), "label"))


def _assert_sound(chunks: list[Chunk]) -> None:
    assert chunks
    for chunk in chunks:
        assert chunk.text.strip()
        assert "\0" not in chunk.text
        assert len(chunk.text.encode()) <= TEXT_BYTES
