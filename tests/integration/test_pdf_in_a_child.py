"""What spoilt and hostile PDFs do in a parsing child."""

import contextlib
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_to_milvus.adapters.parsers.isolated import ParsingPool
from s3_to_milvus.adapters.parsers.pdf import PdfParser
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.errors import DocumentTooLarge, ParserCrashed, PermanentError, UnreadableDocument
from s3_to_milvus.ports import Parser, ParserInput
from s3_to_milvus.testing.contracts.parser import text_of
from tests.support.corpus import corpus_cases, corpus_file
from tests.support.pdfs import make_pdf


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parser]:
    pool = ParsingPool(ParsingPool.Options(timeout_s=60, memory_mb=1024), tmp_path_factory.mktemp("scratch"))
    target = f"{PdfParser.__module__}:{PdfParser.__name__}"
    yield pool.wrap(
        target,
        kind=PdfParser.kind,
        fingerprint=PdfParser.fingerprint,
        media_types=PdfParser.media_types,
        preload=PdfParser.preload,
    )
    pool.close()


def test_mutated_pdfs_end_as_documents_or_as_our_errors(boxed: Parser) -> None:
    _expect_an_end(boxed, make_pdf([["Text of the first page."], ["And the second."]]))


@pytest.mark.parametrize("name", corpus_cases(["pdf_text_4p.pdf", "pdf_form.pdf", "pdf_table_borderless.pdf"]))
def test_mutated_real_pdfs_too(boxed: Parser, name: str) -> None:
    _expect_an_end(boxed, corpus_file(name).read_bytes())


def _expect_an_end(boxed: Parser, data: bytes) -> None:
    source = random.Random(20_261_123)
    for _ in range(15):
        mutated = _mutated(data, source)
        with contextlib.suppress(PermanentError):
            list(boxed.parse(ParserInput("application/pdf", "x", len(mutated), data=mutated)).blocks)


def _mutated(data: bytes, source: random.Random) -> bytes:
    """Bytes flipped, a part cut out, a part doubled, or digits changed."""
    found = bytearray(data)
    for _ in range(source.randrange(1, 30)):
        at = source.randrange(len(found))
        action = source.randrange(4)
        if action == 0:
            found[at] = source.randrange(256)
        elif action == 1:
            del found[at : at + source.randrange(1, 200)]
        elif action == 2:
            found[at:at] = found[at : at + source.randrange(1, 200)]
        else:
            digit = found.find(b"1", at)
            found[digit : digit + 1] = b"99999999" if digit >= 0 else b""
    return bytes(found)


def test_a_memory_bomb_ends_in_the_child(boxed: Parser) -> None:
    data = _bomb(megabytes=3_000)
    assert len(data) < 100_000
    with pytest.raises(ParserCrashed):
        list(boxed.parse(ParserInput("application/pdf", "x", len(data), data=data)).blocks)


def _bomb(megabytes: int) -> bytes:
    """A page whose content unpacks, twice, to that many megabytes of blanks."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    stream = zlib.compress(head + block * megabytes + packer.flush(), 9)
    body = make_pdf([["x"]])
    start, end = body.index(b"<< /Length"), body.index(b"endstream")
    packed = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\n" % (len(stream), stream)
    return body[:start] + packed + body[end:]


def test_paths_are_never_trusted(boxed: Parser, tmp_path: Path) -> None:
    path = tmp_path / "0001"
    path.write_bytes(make_pdf([["A file with an odd name lies here."]]))
    source = ParserInput("application/pdf", "../../etc/passwd", path.stat().st_size, path=path)
    assert "odd name" in text_of(list(boxed.parse(source).blocks))


def test_too_many_pages_are_refused_before_they_are_read() -> None:
    data = make_pdf([["One."], ["Two."], ["Three."], ["Four."]])
    source = ParserInput("application/pdf", "x", len(data), data=data, limits=DocumentLimits(pages=3))
    with pytest.raises(DocumentTooLarge, match="4 pages; 3 are allowed") as caught:
        PdfParser().parse(source)
    assert "S2M_PARSING__MAX_PAGES" in caught.value.hint


def test_what_is_no_pdf_is_told() -> None:
    data = b'{"licence": "none"} ' * 50
    with pytest.raises(UnreadableDocument, match="damaged"):
        PdfParser().parse(ParserInput("application/pdf", "x", len(data), data=data))
