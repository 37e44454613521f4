"""The default splitter: nothing lost, nothing doubled, structure kept, small edits stay small."""

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from s3_to_milvus.adapters.splitters.blocks import BlocksSplitter
from s3_to_milvus.domain.chunking import row_line
from s3_to_milvus.domain.documents import Block, BlockKind, Box, Chunk, Document, PageSpan

_SMALL = BlocksSplitter.Options(max_chars=200, min_chars=80)

_KOREAN = ["짧은 문장이다.", "다음 줄은\n여기 있다. ", "띄어쓰기없이했다.그리고", "한" * 250]
_JOINED = ["e\u0301", "\u1112\u1161\u11ab", "👨\u200d👩\u200d👧"]
_OTHERS = ["a", " ", "\n\n", "word ", "。中文沒有空格", "3.14 ", "| ", "x" * 90, "\t", "end! "]
_PIECES = st.sampled_from(_KOREAN + _JOINED + _OTHERS)
_TEXTS = st.lists(_PIECES, max_size=12).map("".join)
_ROWS = st.lists(st.lists(_TEXTS, max_size=3).map(tuple), max_size=8).map(tuple)
_BLOCKS = st.one_of(
    st.builds(Block, st.sampled_from([BlockKind.PARAGRAPH, BlockKind.LIST_ITEM, BlockKind.CODE]), _TEXTS),
    st.builds(Block, st.just(BlockKind.HEADING), _TEXTS, st.integers(1, 6)),
    st.builds(Block, st.just(BlockKind.TABLE), rows=_ROWS, has_header=st.booleans()),
)


def _split(blocks: Sequence[Block], options: BlocksSplitter.Options = _SMALL) -> list[Chunk]:
    return list(BlocksSplitter(options).split(Document(iter(blocks), "text/plain"), ""))


def _paragraph(text: str, **place: int) -> Block:
    return Block(BlockKind.PARAGRAPH, text, **place)  # type: ignore[arg-type]


def _heading(text: str, level: int = 1) -> Block:
    return Block(BlockKind.HEADING, text, level=level)


def _bare(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=120, deadline=None)
@given(st.lists(_BLOCKS, max_size=12), st.sampled_from([(100, 50), (200, 25), (200, 80), (1_000, 400)]))
def test_every_character_is_in_exactly_one_chunk(blocks: list[Block], sizes: tuple[int, int]) -> None:
    options = BlocksSplitter.Options(max_chars=sizes[0], min_chars=sizes[1])
    chunks = _split(blocks, options)
    lines = [line for block in blocks for line in (*map(row_line, block.rows), block.text)]
    headers = {_bare(row_line(row)) for block in blocks if block.has_header for row in block.rows} - {""}
    rest = _bare("".join(lines))
    for chunk in chunks:
        assert 0 < len(chunk.text) <= sizes[0]
        text = _bare(chunk.text)
        if not rest.startswith(text):
            text = next(text.removeprefix(header) for header in headers if _continues(rest, text, header))
        assert text
        rest = rest.removeprefix(text)
    assert rest == ""


def _continues(rest: str, text: str, header: str) -> bool:
    return text.startswith(header) and rest.startswith(text.removeprefix(header))


@given(st.lists(st.one_of(_TEXTS.map(_heading), _TEXTS.map(_paragraph)), max_size=20))
def test_no_chunk_ends_on_a_heading_that_has_something_below_it(blocks: list[Block]) -> None:
    blocks = [Block(block.kind, f"{block.kind[0]}{block.text[:60]}", block.level) for block in blocks]
    headings = {" ".join(block.text.split()) for block in blocks if block.kind is BlockKind.HEADING}
    for chunk in _split(blocks)[:-1]:
        lines = [line for line in chunk.text.split("\n") if line]
        if all(line[0] != "h" for line in lines):
            continue
        if any(line[0] == "p" for line in lines):
            assert " ".join(lines[-1].split()) not in headings


def test_a_table_is_cut_between_rows_and_its_header_repeated() -> None:
    rows = (("연도", "매출"), *((str(2000 + number), f"{number * 100}억원") for number in range(60)))
    chunks = _split(
        [_paragraph("앞 문단."), Block(BlockKind.TABLE, rows=rows, has_header=True), _paragraph("뒤 문단.")]
    )
    assert len(chunks) > 3
    assert chunks[0].text.startswith("앞 문단.\n연도 | 매출\n2000 | 0억원\n")
    assert all(chunk.text.startswith("연도 | 매출\n2") for chunk in chunks[1:])
    found = [line for chunk in chunks for line in chunk.text.split("\n")]
    assert [line for line in found if line.startswith("20")] == [row_line(row) for row in rows[1:]]
    assert chunks[-1].text.endswith("뒤 문단.")


def test_a_table_without_header_repeats_nothing() -> None:
    rows = tuple((f"cell {number}", "x" * 30) for number in range(20))
    chunks = _split([Block(BlockKind.TABLE, rows=rows)])
    assert "\n".join(chunk.text for chunk in chunks) == "\n".join(map(row_line, rows))


def test_a_header_row_is_never_the_last_line() -> None:
    rows = (("이름", "값"), ("가", "나" * 150), ("다", "라" * 150))
    chunks = _split([_paragraph("문단 " * 30), Block(BlockKind.TABLE, rows=rows, has_header=True)])
    assert not any(chunk.text.endswith("이름 | 값") for chunk in chunks)


def test_a_row_larger_than_a_chunk_is_cut_between_cells() -> None:
    cells = tuple(f"cell number {number}" for number in range(40))
    chunks = _split([Block(BlockKind.TABLE, rows=(cells,))])
    assert len(chunks) > 2
    assert all(cell in "\n".join(chunk.text for chunk in chunks) for cell in cells)


def test_empty_cells_keep_their_column_and_empty_rows_vanish() -> None:
    chunks = _split([Block(BlockKind.TABLE, rows=(("a", "", "c", "", ""), ("", ""), ("|", "")))])
    assert chunks[0].text == "a |  | c\n|"


def test_the_heading_path_is_what_the_whole_chunk_shares() -> None:
    blocks = [_heading("1 장"), _paragraph("가" * 100), _heading("1.1 절", 2), _paragraph("나" * 150), _heading("2 장")]
    blocks += [
        _paragraph("다" * 30),
        _heading("2.1 절", 2),
        _paragraph("라" * 30),
        _heading("3 장"),
        _paragraph("마" * 90),
    ]
    chunks = _split(blocks)
    assert [chunk.heading for chunk in chunks] == [("1 장",), ("1 장", "1.1 절"), ("2 장",), ("3 장",)]
    assert chunks[1].text.startswith("1.1 절\n나")


def test_sections_that_share_a_chunk_share_what_stands_above_both() -> None:
    blocks = [_heading("1 장"), _heading("1.1 절", 2), _paragraph("가"), _heading("1.2 절", 2), _paragraph("나")]
    (chunk,) = _split(blocks)
    assert chunk.heading == ("1 장",)


def test_a_border_between_blocks_is_preferred_to_one_between_sentences() -> None:
    for number in range(20):
        long = " ".join(
            f"{number} 번 글에서 {index} 번째로 적어 둔 조금은 긴 하나의 온전한 문장이다." for index in range(4)
        )
        assert 120 < len(long) < 190
        assert _split([_paragraph(long), _paragraph("다음 문단이다. " * 12)])[0].text == long


def test_a_wide_gap_still_parts_the_words_beside_it() -> None:
    # 120: a piece ends where the gap begins
    text = "".join(letter * 120 + " " * 500 + letter.upper() * 70 + " " for letter in "abcdefghij")
    assert " ".join(chunk.text for chunk in _split([_paragraph(text)])).split() == text.split()


def test_a_level_that_is_skipped_or_repeated_does_not_confuse_the_path() -> None:
    blocks = [_heading("a", 1), _heading("b", 4), _paragraph("x" * 150), _heading("c", 2), _paragraph("y" * 150)]
    assert [chunk.heading for chunk in _split(blocks)] == [("a", "b"), ("a", "c")]


def test_a_document_of_headings_alone_is_kept() -> None:
    chunks = _split([_heading(f"제목 {number}", 2) for number in range(100)])
    assert all(f"제목 {number}" in "\n".join(chunk.text for chunk in chunks) for number in range(100))


def test_long_paragraphs_are_cut_after_sentences() -> None:
    sentences = [f"이것은 {number}번째 문장이다." for number in range(40)] + [
        f"번호{number}였어요." for number in range(40)
    ]
    for joint in (" ", ""):
        chunks = _split([_paragraph(joint.join(sentences))])
        assert len(chunks) > 4
        assert all(chunk.text.endswith(("다.", "요.")) for chunk in chunks)


def test_chinese_is_cut_after_its_own_full_stop() -> None:
    chunks = _split([_paragraph("這是一個沒有空格的句子。" * 50)])
    assert all(chunk.text.endswith("。") for chunk in chunks)


@pytest.mark.parametrize("syllable", ["\u1112\u1161\u11ab", "e\u0301\u0323", "👨‍👩‍👧"])
def test_no_cut_goes_through_what_a_reader_sees_as_one(syllable: str) -> None:
    chunks = _split([_paragraph(syllable * 500)])
    assert len(chunks) > 4
    assert all(chunk.text.startswith(syllable) and chunk.text.endswith(syllable) for chunk in chunks)


def test_the_pages_of_a_chunk_are_merged_with_their_boxes() -> None:
    blocks = [
        Block(BlockKind.PARAGRAPH, "하나", page=3, box=Box(0.1, 0.8, 0.5, 0.9)),
        Block(BlockKind.PARAGRAPH, "둘", page=3),
        Block(BlockKind.PARAGRAPH, "셋", page=3, box=Box(0.05, 0.9, 0.4, 0.95)),
        Block(BlockKind.PARAGRAPH, "넷", page=4),
    ]
    (chunk,) = _split(blocks)
    assert chunk.pages == (PageSpan(3, Box(0.05, 0.8, 0.5, 0.95)), PageSpan(4))
    assert chunk.page == 3


def test_it_looks_ahead_by_about_one_chunk() -> None:
    pulled = 0

    def blocks() -> Iterator[Block]:
        nonlocal pulled
        for number in range(1_000):
            pulled += 1
            yield _paragraph(f"paragraph {number}")

    next(BlocksSplitter(_SMALL).split(Document(blocks(), "text/plain"), ""))
    assert pulled < 30


def test_a_four_kilobyte_file_gives_a_handful_of_chunks() -> None:
    draw = random.Random(7)
    for size in (40, 120, 400, 4_096):
        text = " ".join(draw.choice(["alpha", "beta", "gamma.", "delta", "of"]) for _ in range(900))[:4_096]
        chunks = _split([_paragraph(text[at : at + size]) for at in range(0, 4_096, size)], BlocksSplitter.Options())
        assert 5 <= len(chunks) <= 11


def _paper() -> list[str]:
    draw = random.Random(1)
    words = ["".join(draw.choices("가나다라마바사아자차", k=draw.randint(1, 4))) for _ in range(500)]
    return [" ".join(draw.choices(words, k=draw.randint(5, 60))) + "이다." for _ in range(300)]


def test_a_small_edit_changes_the_chunks_it_touches() -> None:
    paper = _paper()
    before = {chunk.text for chunk in _split(list(map(_paragraph, paper)), BlocksSplitter.Options())}
    draw, changed = random.Random(2), []
    for _ in range(40):
        place = draw.randrange(len(paper))
        for edited in (
            [*paper[:place], "새로 넣은 문단이다. " * 5, *paper[place:]],
            [*paper[:place], *paper[place + 1 :]],
            [*paper[:place], paper[place].replace("가", "각", 1), *paper[place + 1 :]],
        ):
            after = _split(list(map(_paragraph, edited)), BlocksSplitter.Options())
            changed.append(sum(chunk.text not in before for chunk in after))
    assert sum(changed) / len(changed) < 2.5
    assert max(changed) < 15


def test_options_that_make_no_sense_are_refused() -> None:
    for sizes in ({"max_chars": 100, "min_chars": 60}, {"max_chars": 1_000, "min_chars": 10}, {"max_chars": 20_000}):
        with pytest.raises(ValidationError):
            BlocksSplitter.Options(**sizes)


def test_the_fingerprint_names_the_sizes() -> None:
    assert BlocksSplitter(_SMALL).fingerprint == BlocksSplitter(_SMALL).fingerprint
    assert BlocksSplitter(_SMALL).fingerprint != BlocksSplitter(BlocksSplitter.Options()).fingerprint
