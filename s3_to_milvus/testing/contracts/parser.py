"""What every parser must do."""

import contextlib
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.errors import PermanentError, UnreadableDocument
from s3_to_milvus.ports import Parser, ParserInput

__all__ = ["ParserContract", "Sample", "text_of"]

_MAX_BLOCK_BYTES = 65_536


@dataclass(frozen=True)
class Sample:
    """A file for a parser: its bytes, its media type, and phrases that must be found in its text, in this order."""

    data: bytes
    media_type: str
    phrases: tuple[str, ...] = ()
    file_name: str = "sample"

    @property
    def input(self) -> ParserInput:
        """The file in memory."""
        return ParserInput(self.media_type, self.file_name, len(self.data), data=self.data)

    def at(self, path: Path) -> ParserInput:
        """The file on disk."""
        path.write_bytes(self.data)
        return ParserInput(self.media_type, self.file_name, len(self.data), path=path)


def text_of(blocks: list[Block]) -> str:
    """All text of some blocks, cells of tables included, white space made even."""
    parts = [part for block in blocks for part in (block.text, *(cell for row in block.rows for cell in row))]
    return " ".join(" ".join(parts).split())


class ParserContract:
    """Inherit it, provide the fixtures ``parser`` and ``sample``; ``damaged`` and ``blank`` where such files exist."""

    @pytest.fixture
    def parser(self) -> Parser:
        """The parser under test."""
        raise NotImplementedError

    @pytest.fixture
    def sample(self) -> Sample:
        """A good file with text."""
        raise NotImplementedError

    @pytest.fixture
    def damaged(self) -> Sample | None:
        """A file of its kind that cannot be read; None where every file can."""
        return None

    @pytest.fixture
    def blank(self) -> Sample | None:
        """A valid file without any text; None where there is none."""
        return None

    def test_it_says_what_it_is(self, parser: Parser) -> None:
        """Kind, fingerprint and media types are there, and it can be checked."""
        assert parser.kind
        assert parser.fingerprint
        assert parser.media_types
        assert parser.check()

    def test_the_text_is_there_in_order(self, parser: Parser, sample: Sample) -> None:
        """Every phrase, one after the other."""
        document = parser.parse(sample.input)
        text = text_of(list(document.blocks))
        position = 0
        for phrase in sample.phrases:
            found = text.find(phrase, position)
            assert found >= 0, f"{phrase!r} is missing after {text[max(0, position - 40) : position]!r}"
            position = found + len(phrase)
        assert document.media_type == sample.media_type

    def test_blocks_are_well_formed(self, parser: Parser, sample: Sample) -> None:
        """Text where there should be text, levels for headings only, cells for tables only, pages from 1."""
        document = parser.parse(sample.input)
        blocks = list(document.blocks)
        assert blocks
        for block in blocks:
            is_table = block.kind is BlockKind.TABLE
            assert bool(block.rows) is is_table
            assert bool(block.text.strip()) is not is_table
            assert (1 <= block.level <= 6) is (block.kind is BlockKind.HEADING)
            assert block.page is None or 1 <= block.page <= (document.page_count or block.page)

    def test_text_is_clean_and_bounded(self, parser: Parser, sample: Sample) -> None:
        """NFC, no NUL, no lone surrogates, no carriage returns, no giant blocks."""
        for block in parser.parse(sample.input).blocks:
            cells = [cell for row in block.rows for cell in row]
            assert sum(len(part.encode()) for part in (block.text, *cells)) <= _MAX_BLOCK_BYTES
            for part in (block.text, *cells):
                assert unicodedata.is_normalized("NFC", part)
                assert not {"\0", "\r"} & set(part)

    def test_a_file_in_memory_and_on_disk_give_the_same(self, parser: Parser, sample: Sample, tmp_path: Path) -> None:
        """And so does a second time."""
        first, second = parser.parse(sample.input), parser.parse(sample.at(tmp_path / "0001"))
        again = parser.parse(sample.input)
        assert list(first.blocks) == list(second.blocks) == list(again.blocks)
        assert (first.title, first.page_count) == (second.title, second.page_count)

    def test_the_file_stays_as_it_was(self, parser: Parser, sample: Sample, tmp_path: Path) -> None:
        """A parser only reads."""
        source = sample.at(tmp_path / "0001")
        list(parser.parse(source).blocks)
        assert (tmp_path / "0001").read_bytes() == sample.data
        assert [path.name for path in tmp_path.iterdir()] == ["0001"]

    def test_the_name_is_never_opened(self, parser: Parser, sample: Sample) -> None:
        """Whatever it says."""
        for name in ("../../../etc/passwd", "a" * 1_024, "가\0나", "\udce9.pdf", ""):
            assert list(parser.parse(replace(sample, file_name=name).input).blocks)

    def test_threads_may_share_it(self, parser: Parser, sample: Sample) -> None:
        """Four at once give what one gives."""
        expected = list(parser.parse(sample.input).blocks)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: list(parser.parse(sample.input).blocks), range(8)))
        assert found == [expected] * 8

    def test_a_damaged_file_is_named_as_such(self, parser: Parser, damaged: Sample | None) -> None:
        """With a message and a next step."""
        if damaged is None:
            return  # every file of this kind can be read
        with pytest.raises(UnreadableDocument) as caught:
            list(parser.parse(damaged.input).blocks)
        assert caught.value.message
        assert caught.value.hint

    def test_no_text_is_no_error(self, parser: Parser, blank: Sample | None) -> None:
        """A document without blocks."""
        if blank is None:
            return  # there is no such file
        assert list(parser.parse(blank.input).blocks) == []

    def test_cut_files_end_well(self, parser: Parser, sample: Sample) -> None:
        """Cut anywhere, a file gives a document or one of our permanent errors."""
        for part in range(8):
            cut = replace(sample, data=sample.data[: len(sample.data) * part // 8])
            with contextlib.suppress(PermanentError):
                list(parser.parse(cut.input).blocks)
