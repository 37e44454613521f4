"""Blocks of plain text and Markdown."""

import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.adapters.parsers.text import TextParser
from s3_to_milvus.domain.documents import Block, BlockKind
from s3_to_milvus.domain.markdown import inline_text, markdown_blocks
from s3_to_milvus.domain.plain import lines_of, paragraphs
from s3_to_milvus.domain.tables import BLOCK_CHARS, table_blocks
from s3_to_milvus.ports import ParserInput


def _markdown(text: str) -> list[Block]:
    return list(markdown_blocks(text.split("\n")))


def _shape(blocks: Iterable[Block]) -> list[tuple[str, str]]:
    return [(block.kind.value + (str(block.level) if block.level else ""), block.text) for block in blocks]


@given(st.lists(st.text("ab \n\t", max_size=12), max_size=12))
def test_paragraphs_do_not_depend_on_the_pieces(pieces: list[str]) -> None:
    assert list(paragraphs(pieces)) == list(paragraphs(["".join(pieces)]))


@given(st.lists(st.text("ab\n", max_size=12), max_size=12))
def test_lines_do_not_depend_on_the_pieces(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert list(lines_of(pieces)) == text.split("\n")[: None if text and not text.endswith("\n") else -1]


def test_endless_paragraphs_are_cut_at_lines_and_keep_all_text() -> None:
    source = random.Random(3)
    lines = [f"{number} {source.random()}" for number in range(20_000)]
    parts = list(paragraphs("\n".join(lines[at : at + 700]) + "\n" for at in range(0, len(lines), 700)))
    assert all(len(part) <= BLOCK_CHARS for part in parts)
    assert "\n".join(parts).split("\n") == lines


def test_a_line_without_end_is_cut() -> None:
    parts = list(paragraphs(["가" * 5_000] * 100))
    assert all(0 < len(part) <= BLOCK_CHARS for part in parts)
    assert "".join(parts) == "가" * 500_000


def test_an_insertion_moves_only_the_cuts_near_it() -> None:
    source = random.Random(5)
    lines = [f"{source.random()} {number}" for number in range(20_000)]
    before = set(paragraphs(["\n".join(lines)]))
    lines.insert(100, "a new line")
    assert len(set(paragraphs(["\n".join(lines)])) - before) <= len(before) // 4


def test_markdown_structure() -> None:
    blocks = _markdown(
        "Title\n=====\n\nSub\n---\ntext one\ntext two\n\n## H2 ##\n* a\n  more\n+ b\n1) c\n\n> quoted\n> on\n\n"
        "```py\n# no heading\n\nx\n```\n***\n[ref]: http://x\n~~~\nopen"
    )
    assert _shape(blocks) == [
        ("heading1", "Title"),
        ("heading2", "Sub"),
        ("paragraph", "text one\ntext two"),
        ("heading2", "H2"),
        ("list_item", "a\nmore"),
        ("list_item", "b"),
        ("list_item", "1) c"),
        ("paragraph", "quoted\non"),
        ("code", "# no heading\n\nx"),
        ("code", "open"),
    ]


def test_markdown_tables() -> None:
    blocks = _markdown(
        "intro\n| 연도 | **매출** |\n|:--|--:|\n| 2025 | a \\| b |\n| 2026\nafter\n\n||\n|--|\n|x|\n\na | b\nno table"
    )
    table = blocks[1]
    assert _shape(blocks)[0] == ("paragraph", "intro")
    assert table.has_header
    assert table.rows == (("연도", "매출"), ("2025", "a | b"), ("2026", ""))
    assert ("paragraph", "after") in _shape(blocks)
    assert blocks[3].rows == (("x",),)
    assert not blocks[3].has_header
    assert _shape(blocks)[-1] == ("paragraph", "a | b\nno table")


def test_front_matter_is_kept_as_text() -> None:
    assert _shape(_markdown("---\ntitle: 규정\ntags: [a]\n---\n# T")) == [
        ("paragraph", "title: 규정\ntags: [a]"),
        ("heading1", "T"),
    ]
    assert _shape(_markdown("---\nno front matter\n\ntext")) == [
        ("paragraph", "no front matter"),
        ("paragraph", "text"),
    ]


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("**bold** and *it* and ~~gone~~ and __b__ _i_", "bold and it and gone and b i"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("[text](http://x.y/(z)) ![alt](i.png) [a][b]", "text alt a"),
        ("[![badge](a.svg)](http://x)", "badge"),
        ("`a*b*c` and ``x`y``", "a*b*c and x`y"),
        ("a &amp; b<br>c<sup>2</sup> 1 < 2 > 0", "a & b\nc2 1 < 2 > 0"),
        ("<https://example.com> \\*no\\*", "https://example.com *no*"),
    ],
)
def test_marks_inside_a_line(raw: str, plain: str) -> None:
    assert inline_text(raw) == plain


@pytest.mark.parametrize(
    "unit", ["[", "*a", "`", "**a ", "_a ", "<a ", "|", "\\", "~~a", "![a](", "<!--", "`a", "# ", "> ", "&"]
)
def test_hostile_markdown_takes_no_time(unit: str) -> None:
    began = time.process_time()
    list(markdown_blocks(lines_of([unit * (200_000 // len(unit))])))
    assert time.process_time() - began < 20


@given(st.text("#*-_`~|>[]()! \nab1.:", max_size=200))
def test_markdown_loses_no_word_and_makes_good_blocks(text: str) -> None:
    for block in _markdown(text):
        assert block.text or block.rows
        assert block.text == block.text.strip("\n")


def test_huge_tables_come_in_parts_with_the_header() -> None:
    rows = [("h1", "h2"), *((str(number), "x" * 50) for number in range(5_000))]
    blocks = list(table_blocks(iter(rows), has_header=True))
    assert len(blocks) > 10
    assert all(block.rows[0] == ("h1", "h2") and block.has_header for block in blocks)
    assert [row[0] for block in blocks for row in block.rows[1:]] == [str(number) for number in range(5_000)]
    assert all(sum(len(cell) for row in block.rows for cell in row) <= BLOCK_CHARS + 100 for block in blocks)


def _parse(path: Path, media_type: str = "text/plain") -> list[Block]:
    return list(TextParser().parse(ParserInput(media_type, path.name, path.stat().st_size, path=path)).blocks)


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-be"])
def test_large_files_are_decoded_in_pieces(name: str, tmp_path: Path) -> None:
    wanted = [f"{number} 번째 문단이다.\n둘째 줄에 ASCII 글자도 있다." for number in range(12_000)]
    path = tmp_path / "big"
    path.write_bytes("\r\n\r\n".join(wanted).replace("번째 문단이다.\n", "번째 문단이다.\r\n").encode(name))
    assert path.stat().st_size > 500_000
    assert [block.text for block in _parse(path)] == wanted
    source = ParserInput("text/plain", "x", path.stat().st_size, data=path.read_bytes())
    assert [block.text for block in TextParser().parse(source).blocks] == wanted


def test_a_file_that_stops_being_utf8_late_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "late"
    path.write_bytes(b"plain ascii line\n\n" * 40_000 + "한국어 문장이 여기에 있다.\n".encode("cp949") * 30)
    assert "한국어 문장이 여기에 있다." in _parse(path)[-1].text


def test_damage_is_told() -> None:
    data = ("한국어 문장이다. " * 30).encode() + b"\xff"
    document = TextParser().parse(ParserInput("text/plain", "x", len(data), data=data))
    assert document.warnings == ("1 characters could not be read as utf-8",)


def test_a_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "big"
    with path.open("wb") as file:
        for _ in range(120):
            file.write(("문장 하나. " * 5 + "\n").encode() * 500)
        file.write(b"x" * 1_500_000)
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    try:
        parser = TextParser()
        for kind in ("text/plain", "text/markdown"):
            document = parser.parse(ParserInput(kind, "x", path.stat().st_size, path=path))
            assert sum(len(block.text) for block in document.blocks) > 2_000_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_the_title_of_markdown() -> None:
    data = b"intro\n\n# The **Title**\n\n# Other"
    assert TextParser().parse(ParserInput("text/markdown", "x", len(data), data=data)).title == "The Title"
    assert BlockKind.HEADING in {block.kind for block in _markdown(data.decode())}
