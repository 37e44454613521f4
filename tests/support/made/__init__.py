"""A file of every kind that a parser declares, made on the spot: a clone needs no other files to be tested.

A kind without a file here fails `tests/integration/test_every_format.py`: write one where its like stands.
"""

import json
from dataclasses import dataclass
from functools import cache

from tests.support.made import hangul, letters, old_office, packages, pictures
from tests.support.pdfs import make_pdf

__all__ = ["PASSWORD", "Made", "made_files"]

PASSWORD = "호랑이"  # of every file that has one

_RULE, _DAYS = "제3조 (휴가)", "연차휴가는 열다섯 날이다"
_HARBOUR = "Ships are counted every morning at the gate."
_ROWS = (("이름", "일수"), ("홍길동", "15"))
_SLIDES = (("첫째 장", "느티나무"), ("둘째 장", "은행나무"))
_SAID = (_RULE, _DAYS)
_CELLS = "이름 일수 홍길동 15"
_SHOWN = ("첫째 장", "느티나무", "둘째 장", "은행나무")


@dataclass(frozen=True)
class Made:
    """A file: its name, bytes, kind, and what must be read from it, in this order."""

    name: str
    data: bytes
    media_type: str
    phrases: tuple[str, ...]

    @property
    def extension(self) -> str:
        """As the formats name it."""
        return self.name.rpartition(".")[2]


@cache
def made_files() -> tuple[Made, ...]:
    """At least one for each kind and each way to write it."""
    return (*_texts(), *_markup(), *_data(), *_office(), *_old(), *_open(), *_hangul(), *_mails(), *_books(), *_seen())


def _texts() -> list[Made]:
    text, latin = f"{_RULE}\n\n{_DAYS}.\n", "Le café est fermé. Übermut tut selten gut."
    found = {f"{charset}.txt": text.encode(charset) for charset in ("utf-8", "utf-8-sig", "utf-16", "cp949")}
    found["utf-16-be.txt"] = b"\xfe\xff" + text.encode("utf-16-be")
    found["johab.txt"] = (text * 40).encode("johab")  # enough of it to be told from other charsets
    made = [Made(name, data, "text/plain", _SAID) for name, data in found.items()]
    return [*made, Made("latin.log", latin.encode("cp1252"), "text/plain", ("Le café", "Übermut"))]


def _markup() -> list[Made]:
    head, row = (f"| {' | '.join(cells)} |" for cells in _ROWS)
    markdown = f"# {_RULE}\n\n{_DAYS}.\n\n{head}\n|---|---|\n{row}\n".encode()
    body = f"<body><h1>{_RULE}</h1><p>{_DAYS}</p></body>"
    xhtml = f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">{body}</html>'
    lost = "Nothing was lost."
    return [
        Made("a.md", markdown, "text/markdown", (*_SAID, _CELLS)),
        Made("a.markdown", markdown, "text/markdown", _SAID),
        Made("a.html", letters.html(_RULE, _DAYS), "text/html", (*_SAID, _CELLS)),
        Made("euc.htm", letters.html(_RULE, _DAYS, "euc-kr"), "text/html", _SAID),
        Made("a.xhtml", xhtml.encode(), "application/xhtml+xml", _SAID),
        Made("a.pdf", make_pdf([[_HARBOUR], [lost]]), "application/pdf", (_HARBOUR, lost)),
    ]


def _data() -> list[Made]:
    record = {"조항": _RULE, "내용": _DAYS}
    lines = "\n".join(json.dumps(record, ensure_ascii=False) for _ in range(2)).encode()
    xml = f'<?xml version="1.0" encoding="euc-kr"?><rules><rule title="{_RULE}">{_DAYS}</rule></rules>'.encode("cp949")
    return [
        Made("a.csv", "\n".join(map(",".join, _ROWS)).encode("cp949"), "text/csv", (_CELLS,)),
        Made("a.tsv", "\n".join(map("\t".join, _ROWS)).encode("utf-16"), "text/tab-separated-values", (_CELLS,)),
        Made("a.json", json.dumps(record).encode(), "application/json", _SAID),
        Made("a.jsonl", lines, "application/json", _SAID),
        Made("a.ndjson", lines, "application/json", _SAID),
        Made("a.xml", xml, "application/xml", _SAID),
    ]


def _office() -> list[Made]:
    kind = "application/vnd.openxmlformats-officedocument."
    files = (
        ("docx", "wordprocessingml.document", packages.docx(_RULE, [_DAYS], _ROWS), (*_SAID, _CELLS)),
        ("pptx", "presentationml.presentation", packages.pptx(_SLIDES), _SHOWN),
        ("xlsx", "spreadsheetml.sheet", packages.xlsx("연차", _ROWS), ("연차", _CELLS)),
    )
    found = [Made(f"a.{extension}", data, kind + name, phrases) for extension, name, data, phrases in files]
    for extension, _, data, phrases in files:
        sealed = packages.locked(data, PASSWORD)
        found.append(Made(f"locked.{extension}", sealed, "application/x-ole-encrypted", phrases))
    return found


def _old() -> list[Made]:
    sheet = old_office.xls("연차", [_ROWS[0], ("홍길동", 15.0)])
    return [
        Made("a.doc", old_office.doc([_RULE, _DAYS]), "application/msword", _SAID),
        Made("a.ppt", old_office.ppt(_SLIDES), "application/vnd.ms-powerpoint", _SHOWN),
        Made("a.xls", sheet, "application/vnd.ms-excel", ("연차", _CELLS)),
    ]


def _open() -> list[Made]:
    kind = "application/vnd.oasis.opendocument."
    return [
        Made("a.odt", packages.odt(_RULE, [_DAYS], _ROWS), f"{kind}text", (*_SAID, _CELLS)),
        Made("a.ods", packages.ods("연차", _ROWS), f"{kind}spreadsheet", ("연차", _CELLS)),
        Made("a.odp", packages.odp(_SLIDES), f"{kind}presentation", _SHOWN),
        Made("a.rtf", letters.rtf(_RULE, _DAYS), "application/rtf", _SAID),
    ]


def _hangul() -> list[Made]:
    return [
        Made("3.hwp", hangul.hwp3([_RULE, _DAYS], "규정"), "application/x-hwp", _SAID),
        Made("5.hwp", hangul.hwp5([_RULE, _DAYS]), "application/x-hwp", _SAID),
        Made("a.hwpx", hangul.hwpx([_RULE, _DAYS], _ROWS), "application/hwp+zip", (*_SAID, _CELLS)),
    ]


def _mails() -> list[Made]:
    attached = {"note.txt": _HARBOUR.encode()}
    members = {"규정/a.txt": _DAYS.encode("cp949"), "b.docx": packages.docx(_RULE, [_HARBOUR], _ROWS)}
    return [
        Made("a.eml", letters.eml(_RULE, _DAYS, attached), "message/rfc822", (*_SAID, _HARBOUR)),
        Made("a.msg", letters.msg(_RULE, _DAYS, attached), "application/vnd.ms-outlook", (*_SAID, _HARBOUR)),
        Made("a.zip", packages.zipped(members), "application/zip", (_DAYS, _RULE, _HARBOUR)),
    ]


def _books() -> list[Made]:
    chapters = (("첫째 장", "느티나무"), ("둘째 장", "은행나무"))
    return [
        Made("a.epub", packages.epub("규정", chapters), "application/epub+zip", _SHOWN),
        Made("a.ipynb", letters.ipynb(_RULE, "days = 15", "fifteen"), "application/x-ipynb+json", (_RULE, "days = 15")),
    ]


def _seen() -> list[Made]:
    words = (pictures.WORDS,)
    names = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "bmp": "BMP", "webp": "WEBP"}
    found = [Made(f"a.{name}", pictures.pictures(kind), f"image/{kind.lower()}", words) for name, kind in names.items()]
    paged = (pictures.WORDS, "Second page 2026")
    for name, kind in (("tif", "TIFF"), ("tiff", "TIFF"), ("gif", "GIF")):
        found.append(Made(f"a.{name}", pictures.pictures(kind, paged), f"image/{kind.lower()}", paged))
    found.append(Made("a.heic", pictures.HEIC, "image/heic", words))
    found.append(Made("scanned.pdf", pictures.pictures("PDF", paged), "application/pdf", paged))
    return found
