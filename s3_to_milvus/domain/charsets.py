"""Which character set a text is written in, and text as we keep it: NFC, no control characters.

The cascade: byte order mark, UTF-16 without a mark, UTF-8, what the file declares, Korean by its shape, a guesser
that the caller brings, Western European.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable

__all__ = [
    "Guess",
    "bom_charset",
    "charset_of",
    "clean_text",
    "is_valid_utf8",
    "mostly_utf8",
    "python_charset",
    "utf16_charset",
]

Guess = Callable[[bytes], str | None]
"""Names the character set of bytes that are neither UTF-8 nor UTF-16; None: no idea."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Supersets that real files use under the name of the smaller set.
_SUPERSETS = {
    "ascii": "utf-8",
    "utf_8": "utf-8",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859_1": "cp1252",
}
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe\uffff\ud800-\udfff]")
_HANGUL_SHARE = 0.85


def python_charset(name: str) -> str | None:
    """Python's name for a declared character set, widened to what files really use; None: unknown."""
    plain = name.strip().lower().removeprefix("x-")
    try:
        known = codecs.lookup("cp949" if plain == "windows-949" else plain).name.replace("-", "_")
    except (LookupError, ValueError):
        return None
    found = _SUPERSETS.get(known, known)
    return None if found.startswith(("utf_16", "utf_32")) or not _is_text_codec(found) else found


def _is_text_codec(name: str) -> bool:
    """True for codecs that turn bytes into text (not base64, zip and the like, not escapes)."""
    if name in ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"):
        return False
    try:
        return isinstance(b"a".decode(name), str)
    except (LookupError, ValueError, AssertionError):
        return False


def bom_charset(head: bytes) -> str | None:
    """The character set that a byte order mark names."""
    return next((name for mark, name in _BOMS if head.startswith(mark)), None)


def utf16_charset(head: bytes) -> str | None:
    """UTF-16 without a byte order mark, told by its zero bytes: spaces and line ends have one, on the same side."""
    sample = head[: len(head) & ~1]
    if len(sample) < 4 or b"\0" not in sample:
        return None
    for name, zeros, others in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        if zeros.count(0) > 20 * others.count(0) and _is_plausible(sample, name):
            return name
    return None


def _is_plausible(sample: bytes, name: str) -> bool:
    """True when the sample decodes (but for a pair cut at its end) to letters and ordinary marks."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeDecodeError:
        return False
    odd = sum(unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs") and char not in "\t\r\n\f" for char in text[:4096])
    return odd * 50 <= len(text[:4096])


def is_valid_utf8(data: bytes, *, is_whole: bool = True) -> bool:
    """True for valid UTF-8; a character cut at the end is allowed unless this is the whole text."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, is_whole)
    except UnicodeDecodeError:
        return False
    return True


def mostly_utf8(data: bytes) -> bool:
    """True for UTF-8 with a little damage: at least 20 good non-ASCII characters for each bad place."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(char > "\x7f" for char in text) - bad
    return good >= 20 * bad


def _is_korean(sample: bytes) -> bool:
    """True when the bytes are cp949 and nearly all that is not ASCII are the 2,350 common Hangul syllables."""
    try:
        text = codecs.getincrementaldecoder("cp949")().decode(sample)
    except UnicodeDecodeError:
        return False
    foreign = [char for char in text if char > "\x7f"]
    common = 0
    for char in foreign:
        if "\uac00" <= char <= "\ud7a3":
            lead, trail = char.encode("cp949")
            common += 0xB0 <= lead <= 0xC8 and trail >= 0xA1
    return len(foreign) >= 2 and common >= _HANGUL_SHARE * len(foreign)


def _decodes(sample: bytes, name: str) -> bool:
    """True when the sample is valid in this character set (a character cut at the end is allowed)."""
    try:
        codecs.getincrementaldecoder(name)().decode(sample)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def charset_of(sample: bytes, guess: Guess, *, declared: str = "", is_whole: bool = True) -> str:
    """The character set of a text by the cascade; always one that Python can decode (perhaps with replacements)."""
    found = bom_charset(sample) or utf16_charset(sample)
    if found:
        return found
    if is_valid_utf8(sample, is_whole=is_whole) or mostly_utf8(sample):
        return "utf-8"
    named = python_charset(declared) if declared else None
    named = None if named == "utf-8" else named
    if named and _decodes(sample, named):
        return named
    if _is_korean(sample):
        return "cp949"
    guessed = guess(sample)
    return (python_charset(guessed) if guessed else None) or named or "cp1252"


def clean_text(text: str) -> str:
    """NFC, without control characters (tab and line feed stay), lone surrogates and stray byte order marks.

    Line ends become line feeds. Cheap for text that is clean already.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\f" in text or "\v" in text:
        text = text.replace("\f", "\n").replace("\v", "\n")
    text = _CONTROL.sub("", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text)
