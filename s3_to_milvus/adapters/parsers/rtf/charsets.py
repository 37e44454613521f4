"""Which bytes mean which letters: by the font in use, by the document, and by trying."""

import codecs

__all__ = ["SYMBOLS", "charset_of_page", "decoded", "page_of_font"]

SYMBOLS = 42
"""The code page of fonts of symbols: their bytes stand for no letters."""

_DOUBLE_BYTE = {"cp949", "cp932", "gbk", "cp950", "johab"}
# The numbers of ``fcharset`` and the code pages they stand for; 0 (ANSI) and 1 (default) are the document's own.
_PAGES = {
    2: SYMBOLS,
    77: 10_000,
    128: 932,
    129: 949,
    130: 1361,
    134: 936,
    136: 950,
    161: 1253,
    162: 1254,
    163: 1258,
    177: 1255,
    178: 1256,
    186: 1257,
    204: 1251,
    222: 874,
    238: 1250,
    255: 437,
}
_NAMES = {10_000: "mac_roman", 1361: "johab", 936: "gbk", 65001: "utf-8"}


def page_of_font(number: int) -> int | None:
    """The code page of a font's charset; None: as the document says."""
    return _PAGES.get(number)


def charset_of_page(page: int | None) -> str:
    """Python's name for a code page; cp1252 where it knows none."""
    if page is None or page == SYMBOLS:
        return "cp1252"
    name = _NAMES.get(page, f"cp{page}")
    try:
        codecs.lookup(name)
    except LookupError:
        return "cp1252"
    return name


def decoded(data: bytes, font: str | None, document: str) -> str:
    """The text of some bytes. A font without a charset of its own may hold either Western or the document's letters."""
    if font is not None and font not in _DOUBLE_BYTE:
        return data.decode(font, "replace")
    for charset in dict.fromkeys((font or document, document, "cp949")):
        try:
            return data.decode(charset)
        except UnicodeDecodeError:
            continue
    return data.decode("cp1252" if font is None else font, "replace")
