"""The tokens of RTF, read in one flat pass: groups, control words, bytes in hexadecimal, text.

Ours, because the readers of RTF that can be installed give flat text only, without tables, headings and lists, and
decode each byte of a Korean syllable by itself. Rich Text Format specification 1.9.1.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

__all__ = ["Kind", "Token", "tokens"]

_TOKEN = re.compile(
    rb"\\([A-Za-z]{1,40})(-?\d{1,10})?\x20?|((?:\\'[0-9A-Fa-f]{2})+)|\\(?:\r\n|[^A-Za-z])|[{}]|[\r\n\0]+"
    rb"|[^\\{}\r\n\0]+|\\"
)


class Kind(Enum):
    """What a token is."""

    OPEN = auto()
    CLOSE = auto()
    WORD = auto()
    SYMBOL = auto()
    BYTE = auto()
    TEXT = auto()


class Token(NamedTuple):
    """``text`` is a control word, a symbol's character, or raw bytes; ``number`` what stands behind a word."""

    kind: Kind
    text: bytes
    number: int | None = None


def tokens(data: bytes) -> Iterator[Token]:
    """All tokens; line ends mean nothing, and what ``bin`` announces is left out."""
    at = 0
    while (found := _TOKEN.match(data, at)) is not None:
        at = found.end()
        whole = found[0]
        if found[1] is not None:
            number = None if found[2] is None else int(found[2])
            if found[1] == b"bin":
                at += max(0, number or 0)
            yield Token(Kind.WORD, found[1], number)
        elif found[3] is not None:
            yield Token(Kind.BYTE, bytes.fromhex(found[3].replace(b"\\'", b"").decode("ascii")))
        elif whole == b"{":
            yield Token(Kind.OPEN, whole)
        elif whole == b"}":
            yield Token(Kind.CLOSE, whole)
        elif whole[:1] == b"\\":
            yield Token(Kind.SYMBOL, whole[1:2])
        elif whole[0] not in b"\r\n\0":
            yield Token(Kind.TEXT, whole)
