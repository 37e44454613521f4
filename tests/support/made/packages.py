"""Writes documents that are ZIP packages: Word, PowerPoint, Excel, OpenDocument, EPUB."""

import io
import random
import zipfile
from collections.abc import Mapping, Sequence

__all__ = ["docx", "epub", "locked", "odp", "ods", "odt", "pptx", "xlsx", "zipped"]

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_OPEN = "http://schemas.openxmlformats.org/"
_R = _OPEN + "officeDocument/2006/relationships"
_WORD, _SHEETS = _OPEN + "wordprocessingml/2006/main", _OPEN + "spreadsheetml/2006/main"
_SLIDES, _DRAWING = _OPEN + "presentationml/2006/main", _OPEN + "drawingml/2006/main"
_URN = "urn:oasis:names:tc:opendocument:xmlns:"
_ODF = " ".join(
    f'xmlns:{prefix}="{_URN}{name}:1.0"'
    for prefix, name in (("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"))
)
Rows = Sequence[Sequence[str]]


def zipped(members: Mapping[str, str | bytes], mimetype: str = "") -> bytes:
    """A ZIP with these members; one that names its kind has that first, unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype, zipfile.ZIP_STORED)
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def docx(heading: str, paragraphs: Sequence[str], rows: Rows) -> bytes:
    """A heading, paragraphs, a table."""

    def line(text: str, style: str = "") -> str:
        return f"<w:p>{style}<w:r><w:t>{text}</w:t></w:r></w:p>"

    body = line(heading, '<w:pPr><w:pStyle w:val="Heading1"/><w:outlineLvl w:val="0"/></w:pPr>')
    body += "".join(map(line, paragraphs))
    cells = ("".join(f"<w:tc>{line(cell)}</w:tc>" for cell in row) for row in rows)
    body += f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl><w:p/>"
    text = f'{_HEAD}<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
    return _office("word/document.xml", "wordprocessingml.document", {"word/document.xml": text})


def pptx(slides: Sequence[Sequence[str]]) -> bytes:
    """Slides: the texts of each, the first of them its title."""

    def shape(text: str, kind: str) -> str:
        about = f'<p:nvSpPr><p:cNvPr id="2" name="x"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        return f"<p:sp>{about}<p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"

    spaces = f'xmlns:p="{_SLIDES}" xmlns:a="{_DRAWING}" xmlns:r="{_R}"'
    numbers = range(1, len(slides) + 1)
    listed = "".join(f'<p:sldId id="{255 + number}" r:id="r{number}"/>' for number in numbers)
    members = {
        "ppt/presentation.xml": f"{_HEAD}<p:presentation {spaces}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _links("slide", [f"slides/slide{number}.xml" for number in numbers]),
    }
    for number, (title, *texts) in zip(numbers, slides, strict=True):
        shapes = shape(title, "title") + "".join(shape(text, "body") for text in texts)
        tree = f"<p:cSld><p:spTree><p:nvGrpSpPr/><p:grpSpPr/>{shapes}</p:spTree></p:cSld>"
        members[f"ppt/slides/slide{number}.xml"] = f"{_HEAD}<p:sld {spaces}>{tree}</p:sld>"
    return _office("ppt/presentation.xml", "presentationml.presentation", members)


def xlsx(name: str, rows: Rows) -> bytes:
    """One sheet with this name."""
    lines = ""
    for at, row in enumerate(rows, 1):
        cells = (
            f'<c r="{chr(65 + column)}{at}" t="inlineStr"><is><t>{cell}</t></is></c>' for column, cell in enumerate(row)
        )
        lines += f'<row r="{at}">{"".join(cells)}</row>'
    sheet = f'<sheet name="{name}" sheetId="1" r:id="r1"/>'
    members = {
        "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_SHEETS}" xmlns:r="{_R}"><sheets>{sheet}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _links("worksheet", ["worksheets/sheet1.xml"]),
        "xl/worksheets/sheet1.xml": f'{_HEAD}<worksheet xmlns="{_SHEETS}"><sheetData>{lines}</sheetData></worksheet>',
    }
    return _office("xl/workbook.xml", "spreadsheetml.sheet", members)


def locked(data: bytes, password: str) -> bytes:
    """A Word, PowerPoint or Excel package behind a password, as Office 2010 and later do it."""
    from msoffcrypto.format.ooxml import OOXMLFile

    file, sealed = io.BytesIO(data), io.BytesIO()
    with zipfile.ZipFile(file, "a") as archive:  # it writes packages below 4 KiB so that it cannot read them itself
        archive.writestr("docProps/thumbnail.bin", random.Random(1).randbytes(5_000))
    OOXMLFile(file).encrypt(password, sealed)
    return sealed.getvalue()


def odt(heading: str, paragraphs: Sequence[str], rows: Rows) -> bytes:
    """A heading, paragraphs, a table."""
    lines = "".join(f"<text:p>{text}</text:p>" for text in paragraphs)
    head = f'<text:h text:outline-level="1">{heading}</text:h>'
    return _opendocument("text", f"<office:text>{head}{lines}{_odf_table('t', rows)}</office:text>")


def ods(name: str, rows: Rows) -> bytes:
    """One sheet with this name."""
    return _opendocument("spreadsheet", f"<office:spreadsheet>{_odf_table(name, rows)}</office:spreadsheet>")


def odp(slides: Sequence[Sequence[str]]) -> bytes:
    """Slides: the texts of each."""

    def box(text: str) -> str:
        return f"<draw:frame><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame>"

    pages = "".join(f"<draw:page>{''.join(map(box, texts))}</draw:page>" for texts in slides)
    return _opendocument("presentation", f"<office:presentation>{pages}</office:presentation>")


def epub(title: str, chapters: Sequence[tuple[str, str]]) -> bytes:
    """Chapters: heading and text."""
    numbers = range(len(chapters))
    items = "".join(f'<item id="c{each}" href="{each}.xhtml" media-type="application/xhtml+xml"/>' for each in numbers)
    spine = "".join(f'<itemref idref="c{each}"/>' for each in numbers)
    about = f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
    content = f"{about}<manifest>{items}</manifest><spine>{spine}</spine>"
    book = f'<package xmlns="http://www.idpf.org/2007/opf">{content}</package>'
    members = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="b/book.opf"/></rootfiles></container>',
        "b/book.opf": book,
    }
    for number, (heading, text) in enumerate(chapters):
        page = f"<body><h1>{heading}</h1><p>{text}</p></body>"
        members[f"b/{number}.xhtml"] = f'<html xmlns="http://www.w3.org/1999/xhtml">{page}</html>'
    return zipped(members, mimetype="application/epub+zip")


def _office(part: str, kind: str, members: Mapping[str, str]) -> bytes:
    content = "application/vnd.openxmlformats-"
    types = (
        f'{_HEAD}<Types xmlns="{_OPEN}package/2006/content-types">'
        f'<Default Extension="rels" ContentType="{content}package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{part}" ContentType="{content}officedocument.{kind}.main+xml"/></Types>'
    )
    return zipped({"[Content_Types].xml": types, "_rels/.rels": _links("officeDocument", [part]), **members})


def _links(kind: str, targets: Sequence[str]) -> str:
    each = "".join(f'<Relationship Id="r{at}" Type="{_R}/{kind}" Target="{to}"/>' for at, to in enumerate(targets, 1))
    return f'{_HEAD}<Relationships xmlns="{_OPEN}package/2006/relationships">{each}</Relationships>'


def _opendocument(kind: str, body: str) -> bytes:
    content = f"{_HEAD}<office:document-content {_ODF}><office:body>{body}</office:body></office:document-content>"
    return zipped({"content.xml": content}, mimetype=f"application/vnd.oasis.opendocument.{kind}")


def _odf_table(name: str, rows: Rows) -> str:
    lines = ("".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row) for row in rows)
    cells = "".join(f"<table:table-row>{line}</table:table-row>" for line in lines)
    return f'<table:table table:name="{name}">{cells}</table:table>'
