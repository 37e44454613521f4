"""What a parser declares about a kind of file: the source of `docs/reference/formats.md`."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Format", "media_types_of"]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file in words for people.

    ``has_tables``, ``has_headings``, ``has_pages``: whether the parser keeps them as such. ``is_ocr``: the text is
    read from pictures, always or for pages without text. ``limits``: what is not read, in a few words.

    ``signature`` is for kinds that `domain.media` does not know: how every such file begins; ``b""``: text, told
    from plain text by the extension only.
    """

    name: str
    media_type: str
    extensions: tuple[str, ...]
    has_tables: bool = False
    has_headings: bool = False
    has_pages: bool = False
    is_ocr: bool = False
    limits: str = ""
    signature: bytes | None = None


def media_types_of(formats: Iterable[Format]) -> frozenset[str]:
    """The media types that some formats cover."""
    return frozenset(each.media_type for each in formats)
