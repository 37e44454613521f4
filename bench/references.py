"""What stands in a file by its own bytes: texts and table cells, read without the libraries that the parsers use.

Office, HWPX, OpenDocument and EPUB by their XML, HTML by lxml's tree, PDF by PDFium's page text, plain kinds by their
known charset, OLE files by `bench.references_ole`. Where there is no such way, there is no reference.
"""

import csv
import io
import json
import os
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree, html

from bench.references_ole import Found, doc_text, hwp_text, msg_text, ppt_text, xls_text
from bench.tools import ROOT

__all__ = ["CORPUS", "Reference", "cells_found", "family_of", "recall", "reference_of", "tokens"]

CORPUS = Path(os.environ.get("S2M_TEST_CORPUS") or ROOT.parent / "shared" / "corpus")

_CHARSETS = {"txt_korean_euckr.txt": "cp949", "txt_cp949.xml": "cp949", "html_euckr.html": "cp949"}
_UTF16 = {"txt_utf16le.txt", "csv_stanley_utf16.csv"}
_FAMILIES = {
    "office": ("docx", "pptx", "xlsx", "doc", "ppt", "xls"),
    "HWP": ("hwp", "hwpx"),
    "PDF": ("pdf",),
    "web": ("html", "xml"),
    "text": ("txt", "csv", "md", "ipynb"),
    "other": ("odt", "epub", "rtf", "eml", "msg"),
    "images": ("png", "jpg", "heic", "tif", "bmp"),
}
_INLINE = frozenset(
    {

    "a", "abbr", "b", "bdi", "big", "cite", "code", "data", "del", "em", "font", "i", "ins", "kbd", "label",
    "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u",
    "var", "wbr"
    }
)  # fmt: skip
_GENERAL = ("0", None)
_HYPHEN = "\ufffe"  # where PDFium took a word for one that is broken at the end of a line


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole text, and the text of every table cell that has some."""

    text: str
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which elements (by local name) carry text, break lines, stand for a blank, or are left out."""

    carriers: frozenset[str]
    blocks: frozenset[str] = frozenset({"p", "h", "tc", "tr"})
    blanks: frozenset[str] = frozenset({"tab", "br", "cr", "lineBreak", "nbSpace", "fwSpace", "s", "line-break"})
    skipped: frozenset[str] = frozenset({"Fallback"})


_OFFICE = _Rule(frozenset({"t"}))
_CHART = _Rule(frozenset({"t", "v"}), blocks=frozenset({"p", "v"}))
_ODF = _Rule(frozenset({"p", "h"}), skipped=frozenset({"tracked-changes", "annotation"}))


def reference_of(path: Path) -> Reference | None:
    """The reference of a file by the suffix of its name; None where there is none."""
    suffix = path.suffix[1:].lower()
    reader = _READERS.get(suffix)
    found = reader(path) if reader else None
    if found is None or not tokens(found[0]):
        return None
    return Reference(found[0], tuple(cell for cell in found[1] if tokens(cell)))


def family_of(path: Path) -> str:
    """The family of formats that a file belongs to."""
    suffix = path.suffix[1:].lower()
    return next((family for family, members in _FAMILIES.items() if suffix in members), "none")


def tokens(text: str) -> list[str]:
    """Words and numbers in one form: NFKC (a raised 2 is a 2), folded, cut wherever no letter and no digit stands."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.findall(r"[^\W_]+", folded)


def recall(reference: str, found: str) -> float:
    """The share of the reference's tokens, each as often as it stands there, that were found."""
    wanted, given = Counter(tokens(reference)), Counter(tokens(found))
    return (wanted & given).total() / max(1, wanted.total())


def cells_found(cells: Iterable[str], text: str, found: Iterable[str]) -> tuple[float, float]:
    """The share of cells that stand somewhere in the text or a table, and of those that are a cell of a table."""
    wanted = Counter(" ".join(tokens(cell)) for cell in cells)
    given = Counter(" ".join(tokens(cell)) for cell in found)
    whole = f" {' '.join(tokens(text))} "
    size = max(1, wanted.total())
    present = sum(count for cell, count in wanted.items() if cell in given or f" {cell} " in whole)
    return present / size, (wanted & given).total() / size


def _local(element: Any) -> str:
    """The name of an element without its namespace; empty for comments and the like."""
    return re.split(r"[}:]", element.tag)[-1] if isinstance(element.tag, str) else ""


def _stream(element: Any, rule: _Rule, is_inside: bool = False) -> Iterator[str]:
    """The text below an element in the order of the file."""
    name = _local(element)
    if not name or name in rule.skipped:
        return
    mark = "\n" if name in rule.blocks else " " if name in rule.blanks else ""
    yield mark
    is_inside = is_inside or name in rule.carriers
    if is_inside:
        yield element.text or ""
    for child in element:
        yield from _stream(child, rule, is_inside)
        if is_inside:
            yield child.tail or ""
    yield mark


def _text_of(root: Any, rule: _Rule) -> str:
    return "".join(_stream(root, rule))


def _cells_of(root: Any, rule: _Rule, names: frozenset[str] = frozenset({"tc"})) -> Iterator[str]:
    """The text of every cell, tables inside it left to their own cells."""
    inner = _Rule(rule.carriers, rule.blocks, rule.blanks, rule.skipped | names)
    is_mixed = rule is _WEB
    for element in root.iter():
        if _local(element) in names:
            parts = ["".join(_stream(child, inner, is_mixed)) + (child.tail or "") * is_mixed for child in element]
            yield (element.text or "") * is_mixed + "".join(parts)


def _members(path: Path, pattern: str) -> Iterator[Any]:
    """The root elements of the parts whose names match, in the order of their numbers."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(pattern, name)]
        for name in sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)]):
            yield etree.fromstring(archive.read(name), etree.XMLParser(resolve_entities=False, huge_tree=True))


def _of_parts(path: Path, *parts: tuple[str, _Rule]) -> Found | None:
    """Texts and cells of parts of an archive; None for a file that is none (one with a password)."""
    if not zipfile.is_zipfile(path):
        return None
    texts: list[str] = []
    cells: list[str] = []
    for pattern, rule in parts:
        for root in _members(path, pattern):
            if rule is _CHART:
                _drop_repeated(root)
            texts.append(_text_of(root, rule))
            cells += _cells_of(root, rule, frozenset({"table-cell"}) if rule is _ODF else frozenset({"tc"}))
    return "\n".join(texts), cells


def _drop_repeated(chart: Any) -> None:
    """Every series of a chart carries the categories again; once is enough."""
    seen = set()
    for categories in chart.findall(".//{*}cat"):
        text = _text_of(categories, _CHART)
        if text in seen:
            categories.getparent().remove(categories)
        seen.add(text)


def _docx(path: Path) -> Found | None:
    return _of_parts(path, (r"word/(document|footnotes|endnotes|header\d*|footer\d*)\.xml", _OFFICE))


def _pptx(path: Path) -> Found | None:
    slides = (r"ppt/(slides/slide|notesSlides/notesSlide|diagrams/data)\d+\.xml", _OFFICE)
    return _of_parts(path, slides, (r"ppt/charts/chart\d+\.xml", _CHART))


def _hwpx(path: Path) -> Found | None:
    with zipfile.ZipFile(path) as archive:
        if "META-INF/manifest.xml" in archive.namelist() and b"encryption-data" in archive.read(
            "META-INF/manifest.xml"
        ):
            return None
    return _of_parts(path, (r"Contents/section\d+\.xml", _OFFICE))


def _xlsx(path: Path) -> Found:
    """Strings, and numbers that are shown as they are stored; dates and other formats are left out."""
    shared = [_text_of(item, _OFFICE) for root in _members(path, r"xl/sharedStrings\.xml") for item in root]
    plain = {
        str(number)
        for root in _members(path, r"xl/styles\.xml")
        for formats in root.iterfind("{*}cellXfs")
        for number, each in enumerate(formats)
        if each.get("numFmtId") in _GENERAL
    }
    cells = []
    for root in _members(path, r"xl/worksheets/sheet\d+\.xml"):
        cells += [_cell(cell, shared, plain) for cell in root.iter("{*}c")]
    return "\n".join(cells), cells


def _cell(cell: Any, shared: list[str], plain: set[str]) -> str:
    kind, value = cell.get("t", "n"), cell.findtext("{*}v") or ""
    if kind == "s" and value:
        return shared[int(value)]
    if kind == "inlineStr":
        return _text_of(cell, _OFFICE)
    if kind == "str":
        return value
    return f"{float(value):.15g}" if kind == "n" and value and cell.get("s", "0") in plain | {"0"} else ""


class _WebBlocks(frozenset[str]):
    """Every element but those inside a line."""

    def __contains__(self, name: object) -> bool:
        return name not in _INLINE


_WEB = _Rule(
    frozenset({"html", "body"}),
    blocks=_WebBlocks(),
    skipped=frozenset({"head", "script", "style", "template", "noscript"}),
)


def _html(path: Path) -> Found:
    data = path.read_bytes()
    root = html.document_fromstring(data.decode(_CHARSETS.get(path.name, "utf-8"), "replace").encode(), parser=_utf8())
    return _text_of(root, _WEB), [*_cells_of(root, _WEB, frozenset({"td", "th"}))]


def _utf8() -> Any:
    return html.HTMLParser(encoding="utf-8", huge_tree=True)


def _epub(path: Path) -> Found:
    texts: list[str] = []
    cells: list[str] = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith((".xhtml", ".html", ".htm")) and "nav" not in name and "toc" not in name:
                root = html.document_fromstring(archive.read(name), parser=_utf8())
                texts.append(_text_of(root, _WEB))
                cells += _cells_of(root, _WEB, frozenset({"td", "th"}))
    return "\n".join(texts), cells


def _pdf(path: Path) -> Found | None:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError:
        return None
    try:
        texts = [page.get_textpage().get_text_range() for page in document]
        return "\n".join(texts).replace(_HYPHEN, ""), []
    finally:
        document.close()


def _plain(path: Path) -> Found:
    charset = "utf-16" if path.name in _UTF16 else _CHARSETS.get(path.name, "utf-8-sig")
    return path.read_bytes().decode(charset, "replace"), []


def _xml(path: Path) -> Found:
    return re.sub(r"<[^>]*>", " ", re.sub(r"<!--.*?-->", "", _plain(path)[0], flags=re.DOTALL)), []


def _csv(path: Path) -> Found:
    charset = "utf-16" if path.name in _UTF16 else "cp932" if "mskanji" in path.name else "utf-8-sig"
    text = path.read_bytes().decode(charset)
    delimiter = "\t" if "\t" in text else ","
    return text, [cell for row in csv.reader(io.StringIO(text), delimiter=delimiter) for cell in row]


def _notebook(path: Path) -> Found:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells), []


_READERS: dict[str, Callable[[Path], Found | None]] = {
    "docx": _docx,
    "pptx": _pptx,
    "xlsx": _xlsx,
    "hwpx": _hwpx,
    "odt": lambda path: _of_parts(path, (r"content\.xml", _ODF)),
    "epub": _epub,
    "html": _html,
    "xml": _xml,
    "pdf": _pdf,
    "txt": _plain,
    "md": _plain,
    "csv": _csv,
    "ipynb": _notebook,
    "doc": doc_text,
    "ppt": ppt_text,
    "xls": xls_text,
    "hwp": hwp_text,
    "msg": msg_text,
}
