"""LangChain's splitter as the original system used it, with sizes by collection."""

import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_text_splitters import RecursiveCharacterTextSplitter
from pydantic import ValidationError

from s3_to_milvus.adapters.splitters.recursive import ChunkParams, RecursiveSplitter, load_params
from s3_to_milvus.domain.documents import Block, BlockKind, Chunk, Document, PageSpan
from s3_to_milvus.errors import ConfigError

_WORDS = st.sampled_from(["말이다.", "word", "\n", "\n\n", "x" * 70, "가" * 45, "a b c d e f g h"])


def _splitter(size: int = 50, overlap: int = 10, **options: object) -> RecursiveSplitter:
    return RecursiveSplitter(
        RecursiveSplitter.Options.model_validate({"chunk_size": size, "chunk_overlap": overlap, **options})
    )


def _split(splitter: RecursiveSplitter, blocks: list[Block], collection: str = "") -> list[Chunk]:
    return list(splitter.split(Document(iter(blocks), "text/plain"), collection))


def _paragraph(text: str, page: int | None = None) -> Block:
    return Block(BlockKind.PARAGRAPH, text, page=page)


@settings(max_examples=150, deadline=None)
@given(st.lists(_WORDS, max_size=40).map(" ".join), st.sampled_from([(50, 10), (50, 0), (30, 29), (200, 20)]))
def test_it_cuts_as_langchain_does(text: str, sizes: tuple[int, int]) -> None:
    size, overlap = sizes
    theirs = RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=overlap).split_text(text.strip())
    ours = _split(_splitter(size, overlap), [_paragraph(text)])
    assert [chunk.text for chunk in ours] == [part for part in theirs if part]


def test_the_defaults_are_those_of_the_original_system() -> None:
    options = RecursiveSplitter.Options()
    assert (options.chunk_size, options.chunk_overlap) == (3_000, 300)


def test_a_solid_run_is_cut_in_linear_time_and_between_characters() -> None:
    chunks = _split(_splitter(40_000, 0), [_paragraph("\u1112\u1161\u11ab" * 100_000)])
    assert "".join(chunk.text for chunk in chunks) == "\u1112\u1161\u11ab" * 100_000
    assert all(chunk.text[0] == "\u1112" for chunk in chunks)


def test_blocks_are_joined_and_tables_are_rows() -> None:
    table = Block(BlockKind.TABLE, rows=(("연도", "매출"), ("2025", "10")), has_header=True)
    (chunk,) = _split(_splitter(500, 0), [Block(BlockKind.HEADING, "제목", level=1), _paragraph("문단"), table])
    assert chunk.text == "제목\n\n문단\n\n연도 | 매출\n2025 | 10"


def test_a_chunk_knows_headings_and_pages_of_the_blocks_it_overlaps() -> None:
    blocks = [
        Block(BlockKind.HEADING, "가", level=1, page=1),
        _paragraph("a" * 40, page=1),
        Block(BlockKind.HEADING, "나", level=2, page=2),
        _paragraph("b" * 40, page=2),
        _paragraph("c" * 40, page=3),
    ]
    chunks = _split(_splitter(50, 0), blocks)
    assert [chunk.text.lstrip("가나\n")[0] for chunk in chunks] == ["a", "b", "c"]
    assert [chunk.heading for chunk in chunks] == [("가",), ("가", "나"), ("가", "나")]
    assert [chunk.pages for chunk in chunks] == [(PageSpan(1), PageSpan(2)), (PageSpan(2),), (PageSpan(3),)]


def test_large_documents_go_through_in_segments() -> None:
    pulled = 0

    def blocks() -> Iterator[Block]:
        nonlocal pulled
        for number in range(30):
            pulled += 1
            yield _paragraph(f"{number} " + "text " * 20_000)

    stream = _splitter(3_000, 300).split(Document(blocks(), "text/plain"), "")
    next(stream)
    assert pulled < 15
    assert sum(1 for _ in stream) > 900


def test_sizes_by_collection_come_from_the_original_file(tmp_path: Path) -> None:
    path = tmp_path / "chunk_params.txt"
    path.write_text(
        "\ufeff# name|size|overlap\r\n\r\n 규정 | 40 | 5 \r\nreports|60|0  # long ones\r\na|b|30|3\r\n", "utf-8"
    )
    splitter = _splitter(100, 0, params_file=path, params="reports|80|0")
    text = [_paragraph("말 " * 400)]
    label = unicodedata.normalize("NFD", "규정")
    sizes = {
        name: max(len(chunk.text) for chunk in _split(splitter, text, name))
        for name in (label, "reports", "a|b", "other")
    }
    assert {name: round(size, -1) for name, size in sizes.items()} == {
        label: 40,
        "reports": 80,
        "a|b": 30,
        "other": 100,
    }


def test_params_are_read_line_by_line() -> None:
    assert load_params("a|100|10\n\n#b|1|1\n a b |200|0\n") == {"a": ChunkParams(100, 10), "a b": ChunkParams(200, 0)}
    assert load_params("a|100|10\na|100|10") == {"a": ChunkParams(100, 10)}


@pytest.mark.parametrize(
    "line", ["a", "a|100", "|100|10", "a|x|1", "a|100|100", "a|-5|0", "a|0|0", "a|1e3|0", "a|100|10|"]
)
def test_a_bad_line_is_named(line: str) -> None:
    with pytest.raises(ConfigError, match="line 3"):
        load_params(f"ok|10|1\n\n{line}\n")


def test_a_contradiction_is_named() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        load_params("a|100|10\na|200|10")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.txt"
    broken.write_text("nonsense")
    for path in (tmp_path / "missing.txt", broken):
        with pytest.raises(ConfigError, match=path.name):
            _splitter(params_file=path)


def test_overlap_must_be_smaller_than_size() -> None:
    with pytest.raises(ValidationError):
        _splitter(100, 100)


def test_fingerprints_name_the_sizes_that_are_in_force() -> None:
    plain = _splitter(50, 10)
    assert plain.fingerprint == _splitter(50, 10, params="# nothing").fingerprint != _splitter(50, 9).fingerprint
    assert plain.own_fingerprints == {}
    own = _splitter(50, 10, params="a|9|0\nb|50|10\nc|9|0")
    assert own.fingerprint == plain.fingerprint
    assert own.own_fingerprints["b"] == plain.fingerprint  # the same sizes, written out
    assert own.own_fingerprints["a"] == own.own_fingerprints["c"] == _splitter(9, 0).fingerprint


def test_langchain_is_loaded_when_it_is_used() -> None:
    program = "import sys; from s3_to_milvus.adapters.splitters.recursive import RecursiveSplitter as Splitter; "
    program += "Splitter(Splitter.Options()); assert not [m for m in sys.modules if m.startswith('langchain')]"
    subprocess.run([sys.executable, "-c", program], check=True)
