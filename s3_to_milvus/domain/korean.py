"""Korean text as Hancom's programs store it, made text that every other program reads."""

import re
import unicodedata

__all__ = ["hancom_text"]

# Private-use characters of Hancom fonts with a known meaning. U+F53A is the archaic syllable in the name of the
# script itself (U+1112 U+119E U+11AB), which people type and search as the modern one.
_KNOWN = {0xF53A: "한"}
_BULLETS = range(0xF000, 0xF100)  # symbols of Wingdings and Symbol, used as bullets
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_ARCHAIC_HAN = "\u1112\u119e\u11ab"


def hancom_text(text: str) -> str:
    """``text`` in NFC with private-use characters replaced: known ones by their meaning, symbols by a bullet.

    What nobody can read any more is dropped. Other archaic letters stay as they are.
    """
    if text.isascii():
        return text
    text = text.replace(_ARCHAIC_HAN, "한")
    return unicodedata.normalize("NFC", _PRIVATE.sub(_readable, text))


def _readable(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _KNOWN.get(code, "•" if code in _BULLETS else "")
