"""The parser of Office files keeps the contract."""

import io
import zipfile
from pathlib import Path

import pytest

from s3_to_milvus.adapters.parsers.office import OfficeParser
from s3_to_milvus.errors import DocumentTooLarge
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample
from tests.support.large_files import make_sheets

_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
_RELS = """<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Target="word/document.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>"""


def _paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" if text else "<w:p/>"


def _docx(body: str) -> bytes:
    """A small Word document."""
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELS)
        document = f'<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>'
        archive.writestr("word/document.xml", f'<?xml version="1.0"?>{document}')
    return buffer.getvalue()


class TestOfficeParser(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return OfficeParser()

    @pytest.fixture
    def sample(self) -> Sample:
        cells = "".join(f"<w:tc>{_paragraph(text)}</w:tc>" for text in ("연도", "매출"))
        more = "".join(f"<w:tc>{_paragraph(text)}</w:tc>" for text in ("2025", "10"))
        table = f"<w:tbl><w:tr>{cells}</w:tr><w:tr>{more}</w:tr></w:tbl>"
        body = _paragraph("취업규칙 제1조") + table + _paragraph("The end.")
        return Sample(_docx(body), _DOCX, ("취업규칙 제1조", "연도 매출 2025 10", "The end."))

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(b"PK\x03\x04" + bytes(range(256)), _DOCX)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(_docx(_paragraph("")), _DOCX)


def test_a_bomb_is_refused_by_what_it_declares() -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("word/document.xml", "w", force_zip64=True) as member,
    ):
        for _ in range(1_025):
            member.write(bytes(1 << 20))
    with pytest.raises(DocumentTooLarge, match="1,025 MiB"):
        OfficeParser().parse(Sample(buffer.getvalue(), _DOCX).input)


def test_no_row_of_a_long_sheet_is_lost(tmp_path: Path) -> None:
    data = make_sheets(tmp_path / "a.xlsx", sheets=1, rows=10_050, columns=2).read_bytes()
    blocks = list(OfficeParser().parse(Sample(data, _XLSX).input).blocks)
    assert blocks[0].text == "sheet1"
    rows = {row for block in blocks for row in block.rows}
    assert rows >= {(f"셀1x{row}x1", f"셀1x{row}x2") for row in range(1, 10_051)}
    assert "not shown" not in "".join(block.text for block in blocks)


def test_pictures_of_a_document_without_text_may_be_its_pages() -> None:
    picture, icon = bytes(5_000), bytes(100)
    parts = {"word/media/image1.png": picture, "word/media/icon.png": icon, "word/media/a.emf": picture}
    for text, wanted in (("", ["image1.png"]), ("text", [])):
        buffer = io.BytesIO(_docx(_paragraph(text)))
        with zipfile.ZipFile(buffer, "a") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        document = OfficeParser().parse(Sample(buffer.getvalue(), _DOCX).input)
        assert [each.name for each in document.attachments] == wanted
