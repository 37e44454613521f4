"""Large Office, HWPX and PDF files made on the spot: what is in them is known, so nothing may be lost on the way."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["make_document", "make_large", "make_sheets"]

_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType='
    '"application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType='
    '"application/xml"/><Override PartName="/{part}" ContentType='
    '"application/vnd.openxmlformats-officedocument.{kind}.main+xml"/></Types>'
)
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{links}</Relationships>'
_LINK = f'<Relationship Id="r{{number}}" Type="{_R}/{{kind}}" Target="{{to}}"/>'
_SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_HANCOM = "http://www.hancom.co.kr/hwpml/2011"


def make_large(folder: Path) -> Iterator[Path]:
    """The files; their cells and paragraphs are numbered words."""
    yield make_sheets(folder / "made, 20,000 rows.xlsx", 1, 20_000, 3)
    yield make_sheets(folder / "made, 3,000 columns.xlsx", 1, 20, 3_000)
    yield make_sheets(folder / "made, 300 sheets.xlsx", 300, 20, 3)
    yield make_document(folder / "made, 20,000 paragraphs.docx", 20_000, 0)
    yield make_document(folder / "made, a table of 12,000 rows.docx", 10, 12_000)
    yield _hwpx(folder / "made, 20,000 paragraphs.hwpx", 20_000, 0)
    yield _hwpx(folder / "made, a table of 2,000 rows.hwpx", 10, 2_000)
    yield _pdf(folder / "made, 400 pages.pdf", 400)


def _package(path: Path, part: str, kind: str, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", _TYPES.format(part=part, kind=kind))
        archive.writestr("_rels/.rels", _RELS.format(links=_LINK.format(number=1, kind="officeDocument", to=part)))
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def make_sheets(path: Path, sheets: int, rows: int, columns: int) -> Path:
    """A workbook whose cells say where they stand."""
    numbers = range(1, sheets + 1)
    listed = "".join(f'<sheet name="sheet{number}" sheetId="{number}" r:id="r{number}"/>' for number in numbers)
    links = "".join(_LINK.format(number=each, kind="worksheet", to=f"worksheets/sheet{each}.xml") for each in numbers)
    members = {
        "xl/workbook.xml": f'<workbook xmlns="{_SHEETS}" xmlns:r="{_R}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _RELS.format(links=links),
    }
    for sheet in numbers:
        lines = []
        for row in range(1, rows + 1):
            cells = "".join(
                f'<c r="{_column(column)}{row}" t="inlineStr"><is><t>셀{sheet}x{row}x{column}</t></is></c>'
                for column in range(1, columns + 1)
            )
            lines.append(f'<row r="{row}">{cells}</row>')
        body = "".join(lines)
        members[f"xl/worksheets/sheet{sheet}.xml"] = (
            f'<worksheet xmlns="{_SHEETS}"><sheetData>{body}</sheetData></worksheet>'
        )
    return _package(path, "xl/workbook.xml", "spreadsheetml.sheet", members)


def _column(number: int) -> str:
    """A, B, ... Z, AA."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def make_document(path: Path, paragraphs: int, rows: int = 0) -> Path:
    """A Word file with numbered paragraphs, and a table."""

    def line(text: str) -> str:
        return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"

    body = "".join(line(f"문단{number} The harbour office counts {number} ships.") for number in range(paragraphs))
    if rows:
        grid = [[f"셀{row}x{column}" for column in range(3)] for row in range(rows)]
        made = "".join(f"<w:tr>{''.join(f'<w:tc>{line(cell)}</w:tc>' for cell in row)}</w:tr>" for row in grid)
        body += f"<w:tbl><w:tblGrid>{'<w:gridCol/>' * 3}</w:tblGrid>{made}</w:tbl>"
    text = f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
    return _package(path, "word/document.xml", "wordprocessingml.document", {"word/document.xml": text})


def _hwpx(path: Path, paragraphs: int, rows: int) -> Path:
    def line(text: str) -> str:
        return f"<hp:p><hp:run><hp:t>{text}</hp:t></hp:run></hp:p>"

    body = "".join(line(f"문단{number} 국민의 의견을 {number}번 듣는다.") for number in range(paragraphs))
    if rows:
        made = "".join(f"<hp:tr>{''.join(_cell(row, column) for column in range(3))}</hp:tr>" for row in range(rows))
        body += f'<hp:p><hp:run><hp:tbl rowCnt="{rows}" colCnt="3">{made}</hp:tbl></hp:run></hp:p>'
    section = f'<hs:sec xmlns:hs="{_HANCOM}/section" xmlns:hp="{_HANCOM}/paragraph">{body}</hs:sec>'
    package = (
        '<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:manifest><opf:item id="s" href='
        '"Contents/section0.xml" media-type="application/xml"/></opf:manifest><opf:spine><opf:itemref idref="s"/>'
        "</opf:spine></opf:package>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("mimetype", "application/hwp+zip", zipfile.ZIP_STORED)
        archive.writestr("Contents/content.hpf", package)
        archive.writestr("Contents/section0.xml", section)
    return path


def _cell(row: int, column: int) -> str:
    return (
        f"<hp:tc><hp:subList><hp:p><hp:run><hp:t>셀{row}x{column}</hp:t></hp:run></hp:p></hp:subList>"
        f'<hp:cellAddr colAddr="{column}" rowAddr="{row}"/><hp:cellSpan colSpan="1" rowSpan="1"/></hp:tc>'
    )


def _pdf(path: Path, pages: int) -> Path:
    from tests.support.pdfs import make_pdf

    lines = [
        [f"Page {page}, line {line} counts {page * 100 + line} ships." for line in range(45)] for page in range(pages)
    ]
    path.write_bytes(make_pdf(lines))
    return path
