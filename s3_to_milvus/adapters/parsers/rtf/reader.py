"""Follows the groups and control words of an RTF document, and tells a story what it reads."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from s3_to_milvus.adapters.parsers.rtf.charsets import SYMBOLS, charset_of_page, decoded, page_of_font
from s3_to_milvus.adapters.parsers.rtf.story import Story
from s3_to_milvus.adapters.parsers.rtf.tokens import Kind, Token, tokens
from s3_to_milvus.domain.charsets import clean_text

__all__ = ["Reader"]

_BREAKS = {b"par", b"sect", b"page", b"column"}
_SIGNS = {
    b"tab": "\t",
    b"line": "\n",
    b"lbr": "\n",
    b"emdash": "—",
    b"endash": "–",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
    b"bullet": "•",
    b"emspace": " ",
    b"enspace": " ",
    b"qmspace": " ",
    b"nestcell": "\n",
    b"nestrow": "\n",
}
_SYMBOLS = {b"~": " ", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}"}
# Destinations without text of the document; others that are marked as ignorable are left out, too.
_SILENT = set(
    b"""
    colortbl pict objclass objname objdata themedata colorschememapping datastore latentstyles xmlnstbl listtable
    listoverridetable rsidtbl generator fldinst filetbl revtbl annotation atnid atnauthor atnref atndate atnicn
    bkmkstart bkmkend xe tc txe rxe nonshppict nonesttables nesttableprops private passwordhash sn sv pn pnseclvl
    author operator keywords comment company category manager subject doccomm hlinkbase vern creatim revtim printim
    buptim
    """.split()
)
_KNOWN_IGNORABLE = {b"shpinst", b"shptxt"}
_HEADING = re.compile(r"^(?:heading|제목|개요)\s*(\d)", re.IGNORECASE)
_BOXES = (b"shptxt", b"header", b"headerl", b"headerr", b"headerf", b"footer", b"footerl", b"footerr", b"footerf")
_MAX_LEVEL = 6
_MAX_BOXES = 8


@dataclass(frozen=True, slots=True)
class _State:
    """What a group sets for itself and the groups in it: of letters, and of paragraphs, which end in it.

    ``place``: where its text goes. ``font``: None is the document's default.
    """

    place: str = "text"
    font: int | None = None
    skip: int = 1
    is_hidden: bool = False
    level: int = 0
    is_in_table: bool = False


class Reader:
    """One document. ``title`` is what it says about itself, ``is_cut``: it ends in the middle of a group."""

    def __init__(self, data: bytes) -> None:
        self.story = Story()
        self.title = ""
        self._state = _State()
        self._stack: list[_State] = []
        self._page: int | None = None
        self._fonts: dict[int, int | None] = {}
        self._default_font: int | None = None
        self._styles: dict[int, int] = {}
        self._names: list[str] = []
        self._note: list[str] = []
        self._notes = 0
        self._boxes: list[tuple[int, Story, bool]] = []
        self._style: int | None = None
        self._style_level = 0
        self._is_row_open = self._is_ignorable = False
        self._held = bytearray()
        self._high = ""
        self._left_out = 0
        self._words = self._handlers()
        for token in tokens(data):
            self._take(token)
        self._flush()
        self.is_cut = bool(self._stack)
        while self._boxes:
            self._end_box()

    def _take(self, token: Token) -> None:
        if token.kind in (Kind.BYTE, Kind.TEXT):
            self._bytes(token.text)
            return
        self._flush()
        if token.kind is Kind.OPEN:
            self._stack.append(self._state)
            self._is_ignorable, self._left_out = False, 0
        elif token.kind is Kind.CLOSE:
            self._close()
        elif self._left_out:
            self._left_out -= 1
        elif token.kind is Kind.WORD:
            self._word(token.text, token.number)
        elif token.text == b"*":
            self._is_ignorable = True
        elif token.text in b"\r\n":
            self._break()
        elif sign := _SYMBOLS.get(token.text):
            self._say(sign)

    def _bytes(self, data: bytes) -> None:
        """Bytes are held until something else comes: a syllable may be split over two tokens."""
        if self._left_out:
            dropped = min(self._left_out, len(data))
            self._left_out -= dropped
            data = data[dropped:]
        self._held += data

    def _flush(self) -> None:
        if not self._held:
            return
        data, self._held = bytes(self._held), bytearray()
        if self._state.place == "skip":
            return
        number = self._default_font if self._state.font is None else self._state.font
        page = None if number is None else self._fonts.get(number)
        if page == SYMBOLS and self._state.place == "label":
            self._say("•")
            return
        font = None if page in (None, SYMBOLS) else charset_of_page(page)
        self._say(decoded(data, font, charset_of_page(self._page)))

    def _say(self, text: str) -> None:
        """Some text, to where the text of this group goes."""
        place = self._state.place
        if place == "skip" or self._state.is_hidden:
            return
        if place == "text":
            self.story.add(text)
        elif place == "label":
            self.story.add_label(text)
        elif place == "note":
            self._note.append(text)
        elif place == "title":
            self.title += text
        elif place in ("font", "style"):
            self._names.append(text)

    def _close(self) -> None:
        before, self._left_out = self._state, 0
        if before.place == "style":
            self._end_style("".join(self._names))
        if self._stack:
            self._state = self._stack.pop()
        if self._boxes and len(self._stack) < self._boxes[-1][0]:
            self._end_box()
        if before.place == "note" != self._state.place:
            note, self._note = clean_text("".join(self._note)), []
            self.story.add_note(note)
        if before.place == "title" != self._state.place:
            self.title = clean_text(self.title).strip()
        if before.place in ("font", "style"):
            self._names = []

    def _end_style(self, name: str) -> None:
        """``heading 1;`` or its Korean name, or a style with an outline level."""
        found = _HEADING.match(name.strip())
        level = int(found[1]) if found else self._style_level
        if level and self._style is not None:
            self._styles[self._style] = min(level, _MAX_LEVEL)
        self._style, self._style_level = None, 0

    def _word(self, word: bytes, number: int | None) -> None:
        if self._state.place == "skip":
            return
        is_ignorable, self._is_ignorable = self._is_ignorable, False
        if word in _SILENT or (is_ignorable and word not in _KNOWN_IGNORABLE and word not in self._words):
            self._state = replace(self._state, place="skip")
        elif word in _BREAKS:
            self._break()
        elif word in _SIGNS:
            self._say(_SIGNS[word])
        elif handler := self._words.get(word):
            handler(number)

    def _break(self) -> None:
        if self._state.place == "text":
            is_in_table = self._state.is_in_table or self._is_row_open
            self.story.end_paragraph(level=self._state.level, is_in_table=is_in_table)
        else:
            self._say("\n")

    def _handlers(self) -> dict[bytes, Callable[[int | None], None]]:
        def into(place: str) -> Callable[[int | None], None]:
            return lambda number: setattr(self, "_state", replace(self._state, place=place))

        return {
            b"ansicpg": lambda number: setattr(self, "_page", number),
            b"mac": lambda number: setattr(self, "_page", 10_000),
            b"pc": lambda number: setattr(self, "_page", 437),
            b"pca": lambda number: setattr(self, "_page", 850),
            b"fonttbl": into("font"),
            b"stylesheet": into("style"),
            b"title": into("title"),
            b"footnote": self._begin_note,
            b"chftn": self._note_number,
            **dict.fromkeys(_BOXES, self._begin_box),
            b"listtext": into("label"),
            b"pntext": into("label"),
            b"deff": lambda number: setattr(self, "_default_font", number),
            b"f": self._font,
            b"fcharset": self._charset,
            b"cpg": self._font_page,
            b"s": self._paragraph_style,
            b"outlinelevel": self._outline,
            b"pard": self._plain_paragraph,
            b"intbl": lambda number: setattr(self, "_state", replace(self._state, is_in_table=True)),
            b"trowd": lambda number: self._row(is_open=True),
            b"cell": lambda number: self._in_text(self.story.end_cell),
            b"row": lambda number: self._row(is_open=False),
            b"uc": lambda number: setattr(self, "_state", replace(self._state, skip=max(0, number or 0))),
            b"u": self._unicode,
            b"v": self._hide,
            b"deleted": self._hide,
            b"plain": lambda number: setattr(self, "_state", replace(self._state, is_hidden=False, font=None)),
        }

    def _in_text(self, end: Callable[[], None]) -> None:
        if self._state.place == "text":
            end()

    def _row(self, *, is_open: bool) -> None:
        """A row's definition begins, or the row ends; between them paragraphs belong to cells."""
        if self._state.place == "text":
            self._is_row_open = is_open
            if not is_open:
                self.story.end_row()

    def _begin_note(self, number: int | None) -> None:
        self._notes += self._state.place != "note"
        self._state = replace(self._state, place="note")

    def _note_number(self, number: int | None) -> None:
        """The number of a note; where the note is called its number would only stand in the middle of a word."""
        if self._state.place == "note":
            self._say(f"{self._notes}) ")

    def _begin_box(self, number: int | None) -> None:
        """A text box, header or footer is a story of its own; so deep in others it is read as running text."""
        if self._state.place == "text" and len(self._boxes) < _MAX_BOXES:
            self._boxes.append((len(self._stack), self.story, self._is_row_open))
            self.story = Story()
            self._state = replace(self._state, level=0, is_in_table=False)
            self._is_row_open = False

    def _end_box(self) -> None:
        _, outer, self._is_row_open = self._boxes.pop()
        outer.add_box(list(self.story.end()))
        self.story = outer

    def _font(self, number: int | None) -> None:
        self._state = replace(self._state, font=number)
        if self._state.place == "font" and number is not None:
            self._fonts.setdefault(number, None)

    def _charset(self, number: int | None) -> None:
        if self._state.font is not None and number is not None:
            self._fonts[self._state.font] = page_of_font(number)

    def _font_page(self, number: int | None) -> None:
        if self._state.place == "font" and self._state.font is not None:
            self._fonts[self._state.font] = number

    def _paragraph_style(self, number: int | None) -> None:
        if self._state.place == "style":
            self._style = number
        elif number is not None:
            self._state = replace(self._state, level=self._styles.get(number, self._state.level))

    def _outline(self, number: int | None) -> None:
        """0 is the highest level, 9 is body text."""
        level = 0 if number is None or not 0 <= number <= 8 else min(number + 1, _MAX_LEVEL)
        if self._state.place == "style":
            self._style_level = level
        else:
            self._state = replace(self._state, level=level)

    def _plain_paragraph(self, number: int | None) -> None:
        if self._state.place == "text":
            self._state = replace(self._state, level=0, is_in_table=False)
            self._is_row_open = False

    def _hide(self, number: int | None) -> None:
        self._state = replace(self._state, is_hidden=number != 0)

    def _unicode(self, number: int | None) -> None:
        """A UTF-16 unit as a signed number; what stands for it in the charset follows, and is left out."""
        unit = chr((number or 0) & 0xFFFF)
        self._left_out = self._state.skip
        if "\ud800" <= unit <= "\udbff":
            self._high = unit
        elif self._high and "\udc00" <= unit <= "\udfff":
            self._say((self._high + unit).encode("utf-16", "surrogatepass").decode("utf-16"))
            self._high = ""
        else:
            self._say(unit)
            self._high = ""
