"""Damaged copies of files of every kind, made with a fixed seed: each ends in a document or in an error we know."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_to_milvus import registry
from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.ports import Parser, ParserInput
from s3_to_milvus.settings import Settings
from tests.support.corpus import CORPUS, corpus_cases
from tests.support.made import made_files
from tests.support.mutations import mutated

_SEED = 20261125
_COPIES = 6
_FAMILIES = ("pdf", "doc", "ppt", "xls", "hwp", "html", "csv", "eml", "msg", "epub", "rtf", "odt", "ipynb", "txt")
_MADE = {made.name: made.data for made in made_files() if not made.media_type.startswith("image/")}


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Parser]]:
    pool = ParsingPool(ParsingPool.Options(workers=2, timeout_s=60, memory_mb=1_024), tmp_path_factory.mktemp("x"))
    made = []
    for kind in (*Settings().parser.kind, "zip"):
        adapter = registry.load("parser", kind)
        made.append(
            pool.wrap(
                registry.target("parser", kind),
                kind=kind,
                fingerprint="x",
                media_types=adapter.media_types,
                preload=getattr(adapter, "preload", ()),
            )
        )
    yield made
    pool.close()


def _read(parsers: list[Parser], data: bytes, name: str) -> Document | None:
    media_type = sniff(data, None, name)
    parser = next((each for each in parsers if media_type in each.media_types), None)
    document = parser.parse(ParserInput(media_type, name, len(data), data=data)) if parser else None
    for _ in (*document.blocks, *document.attachments) if document else ():
        pass
    return document


def _failure(parsers: list[Parser], data: bytes, name: str) -> str:
    """What our error says; nothing where the file is read. Any other error fails the test."""
    try:
        _read(parsers, data, name)
    except S3ToMilvusError as error:
        return error.message
    return ""


@pytest.mark.parametrize("name", _MADE)
def test_damaged_files_end_well(parsers: list[Parser], name: str) -> None:
    _expect_an_end(parsers, name, _MADE[name], random.Random(f"{_SEED}{name}"))


@pytest.mark.parametrize("family", corpus_cases(_FAMILIES))
def test_damaged_real_files_end_well(parsers: list[Parser], family: str) -> None:
    chance = random.Random(f"{_SEED}{family}")
    for path in sorted(CORPUS.glob(f"{family}*")):
        data = path.read_bytes()
        _expect_an_end(parsers, path.name, data, chance)
        with contextlib.suppress(S3ToMilvusError):
            assert _read(parsers, data, path.name) is not None or path.name == "bin_random.bin"


def _expect_an_end(parsers: list[Parser], name: str, data: bytes, chance: random.Random) -> None:
    for number in range(_COPIES if data else 0):
        spoilt, how = mutated(data, chance)
        said = _failure(parsers, spoilt, name)
        assert "The parser failed" not in said, f"seed {_SEED}, {name}, copy {number} ({how}): {said}"


def test_a_file_after_all_that_is_read(parsers: list[Parser], tmp_path: Path) -> None:
    document = _read(parsers, "고래는 바다에 산다.".encode(), "a.txt")
    assert document is not None
    assert [block.text for block in document.blocks] == ["고래는 바다에 산다."]
