"""The parser of EPUB books and notebooks keeps the contract."""

import io
import json
import unicodedata
import zipfile
from collections.abc import Mapping

import pytest

from s3_to_milvus.adapters.parsers.book import BookParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.errors import DocumentTooLarge, EncryptedDocument, UnreadableDocument
from s3_to_milvus.ports import Parser, ParserInput
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of

_EPUB, _IPYNB = "application/epub+zip", "application/x-ipynb+json"
_OPF = """<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>소나기</dc:title><dc:language>ko-KR</dc:language></metadata><manifest>
<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="b" href="%EB%91%98.xhtml#top" media-type="application/xhtml+xml"/>
<item id="a" href="one.xhtml" media-type="application/xhtml+xml"/>
<item id="c" href="gone.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/><itemref idref="c"/></spine></package>"""
_CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
_ONE = "<html xmlns='http://www.w3.org/1999/xhtml'><body><h1>첫째 장</h1><p>소년은 개울가에서</p></body></html>"
_TABLE = "<table><tr><th>이름</th><th>수</th></tr><tr><td>무</td><td>2</td></tr></table>"
_TWO = f"<html><body><p>소녀를 보자</p>{_TABLE}</body></html>"


def _epub(**parts: str) -> bytes:
    members = {
        "META-INF/container.xml": _CONTAINER,
        "OEBPS/book.opf": _OPF,
        "OEBPS/nav.xhtml": "<nav>차례</nav>",
        "OEBPS/둘.xhtml": _TWO,
        "OEBPS/one.xhtml": _ONE,
    } | {name.replace("__", "/"): text for name, text in parts.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", _EPUB, zipfile.ZIP_STORED)
        for name, text in members.items():
            if text:
                archive.writestr(name, text)
    return buffer.getvalue()


def _notebook(*cells: Mapping[str, object], **more: object) -> bytes:
    return json.dumps({"cells": cells, "nbformat": 4, "metadata": {}, **more}, ensure_ascii=False).encode()


def _read(data: bytes, **more: object) -> Document:
    media_type = sniff(data, None, "a")
    return BookParser().parse(ParserInput(media_type, "a", len(data), data=data, **more))  # type: ignore[arg-type]


class TestEpub(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return BookParser()

    @pytest.fixture
    def sample(self) -> Sample:
        return Sample(_epub(), _EPUB, ("첫째 장", "소년은 개울가에서", "소녀를 보자", "이름 수 무 2"))

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(_epub(**{"META-INF__container.xml": "", "OEBPS__book.opf": ""}), _EPUB)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(
            _epub(**{"OEBPS__둘.xhtml": "<p/>", "OEBPS__one.xhtml": "<p/>", "OEBPS__gone.xhtml": "<p/>"}), _EPUB
        )


class TestNotebook(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return BookParser()

    @pytest.fixture
    def sample(self) -> Sample:
        cells = (
            {"cell_type": "markdown", "source": ["# 분석\n", "\n", "매출은 **늘었다**."]},
            {
                "cell_type": "code",
                "source": "print(1)",
                "outputs": [
                    {"output_type": "stream", "text": ["하나\n"]},
                    {"data": {"text/html": "<table><tr><td>a</td><td>b</td></tr></table>", "text/plain": "a b"}},
                    {"data": {"image/png": "AAAA", "text/plain": "<Figure>"}},
                    {"output_type": "error", "traceback": ["\x1b[31mZeroDivisionError\x1b[0m"]},
                ],
            },
        )
        phrases = ("분석", "매출은 늘었다.", "print(1)", "하나", "a b", "<Figure>", "ZeroDivisionError")
        return Sample(_notebook(*cells), _IPYNB, phrases)

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(b'{"cells": [{"cell_type": "code"', _IPYNB)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(_notebook(), _IPYNB)


def test_a_book_says_its_title_and_what_is_missing() -> None:
    document = _read(_epub())
    assert (document.title, document.language) == ("소나기", "ko")
    assert document.warnings == ("the chapter OEBPS/gone.xhtml is missing",)
    assert "차례" not in text_of(list(document.blocks))
    assert [block.rows for block in document.blocks if block.kind is BlockKind.TABLE] == [(("이름", "수"), ("무", "2"))]


@pytest.mark.parametrize(
    "algorithm", ["http://www.idpf.org/2008/embedding", "http://www.w3.org/2001/04/xmlenc#aes128-cbc"]
)
def test_protection_that_hides_text_is_named(algorithm: str) -> None:
    locks = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData '
        f'xmlns="http://www.w3.org/2001/04/xmlenc#"><EncryptionMethod Algorithm="{algorithm}"/></EncryptedData>'
        "</encryption>"
    )
    data = _epub(**{"META-INF__encryption.xml": locks})
    if "embedding" in algorithm:
        assert list(_read(data).blocks)
    else:
        with pytest.raises(EncryptedDocument, match="DRM"):
            _read(data)


def test_a_bomb_is_refused_by_what_it_declares() -> None:
    with pytest.raises(DocumentTooLarge):
        _read(_epub(big=" " * (3 << 20)), limits=DocumentLimits(unpacked_bytes=1 << 20))


def test_a_book_without_any_chapter_is_damaged() -> None:
    with pytest.raises(UnreadableDocument, match="missing"):
        _read(_epub(**{"OEBPS__둘.xhtml": "", "OEBPS__one.xhtml": ""}))


def test_old_notebooks_and_odd_ones() -> None:
    old = {
        "worksheets": [{"cells": [{"cell_type": "heading", "level": 2, "source": "옛"}, {"input": "x"}]}],
        "nbformat": 3,
    }
    source = ParserInput(_IPYNB, "a", 1, data=json.dumps(old).encode())
    assert next(iter(BookParser().parse(source).blocks)) == Block(BlockKind.HEADING, "옛", level=2)
    for odd in ("[]", "7", '{"cells": {}}', "[" * 100_000):
        with pytest.raises(UnreadableDocument):
            BookParser().parse(ParserInput(_IPYNB, "a", 1, data=odd.encode()))
    mixed = _notebook({"cell_type": 7, "source": 8, "outputs": [9, {"data": []}]})
    assert list(BookParser().parse(ParserInput(_IPYNB, "a", 1, data=mixed)).blocks) == []


@pytest.mark.parametrize("raw", [unicodedata.normalize("NFD", "둘").encode(), "둘".encode(), "둘".encode("cp949")])
def test_korean_names_of_chapters_in_any_writing(raw: bytes) -> None:
    data = _epub(**{"OEBPS__둘.xhtml": "", f"OEBPS__{'x' * len(raw)}.xhtml": _TWO})
    document = _read(data.replace(b"x" * len(raw), raw))
    assert "소녀를 보자" in text_of(list(document.blocks))
    assert document.warnings == ("the chapter OEBPS/gone.xhtml is missing",)


def _package(*items: str) -> str:
    refs = "".join(f'<itemref idref="i{number}"/>' for number in range(len(items)))
    listed = "".join(
        f'<item id="i{number}" media-type="application/xhtml+xml" {item}/>' for number, item in enumerate(items)
    )
    return f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{listed}</manifest><spine>{refs}</spine></package>'


def test_a_chapter_is_read_once_whatever_leads_to_it() -> None:
    items = ('href="one.xhtml#a"', 'href="one.xhtml#b"', 'href="x/../one.xhtml"', 'href="./one.xhtml"')
    text = text_of(list(_read(_epub(**{"OEBPS__book.opf": _package(*items)})).blocks))
    assert text.count("소년은") == 1


def test_a_book_that_is_only_its_table_of_contents_has_its_text() -> None:
    data = _epub(**{"OEBPS__book.opf": _package('href="nav.xhtml" properties="nav"')})
    assert text_of(list(_read(data).blocks)) == "차례"


@pytest.mark.parametrize("package", ["<a>" * 100_000, "<package/>"])
def test_a_package_that_lists_nothing_is_damaged(package: str) -> None:
    with pytest.raises(UnreadableDocument, match="list of parts"):
        _read(_epub(**{"OEBPS__book.opf": package}))


def test_odd_lists_of_encryption_end_well() -> None:
    assert list(_read(_epub(**{"META-INF__encryption.xml": '<EncryptionMethod Algorithm="x"/>'})).blocks)


def _texts(cell: Mapping[str, object]) -> list[str]:
    return [block.text for block in BookParser().parse(ParserInput(_IPYNB, "a", 1, data=_notebook(cell))).blocks]


@pytest.mark.parametrize(
    "output",
    [
        {"text": ["\x1b[31m오류\x1b[0m 하나\n"]},
        {"data": {"text/plain": "\x1b[1m오류\x1b[22m 하나"}},
        {"traceback": ["\x1b[?25l\x1b]8;;http://a\x07오류\x1b]8;;\x1b\\ \x1b[38:5:1m하나\x1b[m"]},
        {"data": {"text/html": "<div></div><script>draw()</script>", "text/plain": "오류 하나"}},
    ],
)
def test_outputs_without_codes_of_terminals_and_empty_pages(output: Mapping[str, object]) -> None:
    assert _texts({"cell_type": "code", "source": "x", "outputs": [output]}) == ["x", "오류 하나"]


def test_pictures_inside_of_text_say_nothing() -> None:
    picture = "data:image/png;base64," + "QUJD" * 20_000
    assert _texts({"cell_type": "markdown", "source": f"앞 ![그림]({picture}) 뒤"}) == ["앞 그림 뒤"]


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "cp949"])
def test_notebooks_in_other_character_sets(charset: str) -> None:
    data = _notebook({"cell_type": "markdown", "source": "매출은 늘었다"}).decode().encode(charset)
    assert [each.text for each in BookParser().parse(ParserInput(_IPYNB, "a", 1, data=data)).blocks] == [
        "매출은 늘었다"
    ]
