"""Every kind of file that a parser declares is read from a file that the tests make, by the real line."""

from collections.abc import Iterator

import pytest

from s3_to_milvus import registry
from s3_to_milvus.adapters.parsers.ocr.engine import data_folder
from s3_to_milvus.adapters.parsers.upstage import UpstageParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.ports import ParserInput
from tests.support.line import Line, line_over
from tests.support.made import PASSWORD, Made, made_files
from tests.support.upstage_parsing import made_parser
from tests.support.upstage_server import upstage_server

FILES = {made.name: made for made in made_files()}
BY_OCR = {name for name, made in FILES.items() if made.media_type.startswith("image/")} | {"scanned.pdf"}
DECLARED = [(kind, each) for kind in registry.kinds("parser") for each in registry.load("parser", kind).formats]


def _is_of(made: Made, each: Format, extension: str) -> bool:
    return (made.media_type, made.extension) == (each.media_type, extension)


@pytest.mark.parametrize(("kind", "each"), DECLARED, ids=[f"{kind}: {each.name}" for kind, each in DECLARED])
def test_each_declared_format_has_a_file(kind: str, each: Format) -> None:
    missing = [name for name in each.extensions if not any(_is_of(made, each, name) for made in FILES.values())]
    assert not missing, f"tests/support/made has no file of {each.name} ({each.media_type}) for {kind} named {missing}"


def test_there_is_no_file_that_nobody_declares() -> None:
    declared = {each.media_type for _, each in DECLARED}
    assert {made.media_type for made in FILES.values()} <= declared


@pytest.mark.parametrize("name", FILES)
def test_its_kind_is_told_from_its_content(name: str) -> None:
    made = FILES[name]
    assert sniff(made.data, None, name) == made.media_type


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("formats")
    docs = folder / "문서"
    docs.mkdir()
    for made in FILES.values():
        (docs / made.name).write_bytes(made.data)
    kinds = [kind for kind in registry.kinds("parser") if kind != "upstage"]
    with line_over(folder / "data", [docs], parser__kind=kinds, parsing__passwords=[PASSWORD]) as line:
        line.sync()
        yield line


@pytest.mark.parametrize("name", FILES)
def test_what_stands_in_it_can_be_searched(line: Line, name: str) -> None:
    if name in BY_OCR and data_folder("", ("kor", "eng")) is None:
        pytest.skip("no OCR data: apt-get install tesseract-ocr-kor tesseract-ocr-eng")
    assert not line.records()[name].error
    text = " ".join(" ".join(line.shown()[name]).replace("|", " ").split())
    position = 0
    for phrase in FILES[name].phrases:
        found = text.find(phrase, position)
        assert found >= 0, f"{phrase!r} is missing in {text!r}"
        position = found + len(phrase)


def test_everything_agrees(line: Line) -> None:
    line.expect_equal()


@pytest.mark.parametrize("name", [name for name, made in FILES.items() if made.media_type in UpstageParser.media_types])
def test_upstage_is_sent_what_it_declares(name: str) -> None:
    made = FILES[name]
    with upstage_server() as server:
        source = ParserInput(made.media_type, name, len(made.data), data=made.data)
        assert list(made_parser(server).parse(source).blocks)
        assert len(server.posts) == 1
