"""Values as Notion's properties want them, within its limits.

https://developers.notion.com/reference/request-limits: 2,000 UTF-16 units in one rich text, 100 of them in a row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["property_value", "readable", "shortened", "status_word", "text_of", "text_parts"]

_UNITS = 2_000
_PARTS = 100
_OPTION_LENGTH = 100
_PAIRS = (
    ("Passed", "Failed"),
    ("Success", "Failure"),
    ("Success", "Failed"),
    ("Succeeded", "Failed"),
    ("Done", "Failed"),
    ("OK", "Error"),
    ("성공", "실패"),
)


def readable(text: str) -> str:
    """``text`` as Notion can hold it: bytes of names that are no valid text as ``\\udc80``, no NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def shortened(text: str, most: int) -> str:
    """At most so many UTF-16 units."""
    return text if _units(text) <= most else f"{_fitting(text, most - 1)}…"


def text_parts(text: str) -> list[dict[str, Any]]:
    """A text as rich text, in as many parts as it takes."""
    parts: list[dict[str, Any]] = []
    while text and len(parts) < _PARTS:
        piece = _fitting(text, _UNITS)
        parts.append({"type": "text", "text": {"content": piece}})
        text = text[len(piece) :]
    return parts


def text_of(value: Mapping[str, Any]) -> str:
    """What stands in a title or rich text property of a page."""
    parts = value.get("title") or value.get("rich_text") or []
    return "".join(str(part.get("plain_text") or (part.get("text") or {}).get("content", "")) for part in parts)


def property_value(kind: str, text: str) -> dict[str, Any]:
    """A text as the value of a property of this type."""
    if kind in ("title", "rich_text"):
        return {kind: text_parts(readable(text))}
    option = {"name": readable(text).replace(",", " ")[:_OPTION_LENGTH]}  # an option may not hold a comma
    return {kind: [option] if kind == "multi_select" else option}


def status_word(outcome: str, options: Sequence[str], *, is_open: bool) -> str | None:
    """The option that says how a job ended, in the words that are there: ours, or Passed/Failed and the like.

    ``is_open``: an option that is missing may be made. None: no option fits.
    """
    known = {option.casefold(): option for option in options}
    if outcome.casefold() in known:
        return known[outcome.casefold()]
    place = 1 if outcome in ("failed", "empty") else 0  # bytes in and no text out is no success
    pairs = [pair for pair in _PAIRS if any(word.casefold() in known for word in pair)]
    for pair in pairs:
        if pair[place].casefold() in known:
            return known[pair[place].casefold()]
    if not is_open:
        return None
    return pairs[0][place] if pairs else outcome


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _fitting(text: str, most: int) -> str:
    """The longest start of at most so many units, or a little less."""
    piece = text[:most]
    while (excess := _units(piece) - most) > 0:
        piece = piece[: -((excess + 1) // 2)]
    return piece
