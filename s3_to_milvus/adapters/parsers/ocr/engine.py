"""Tesseract through tesserocr: a grey picture in, paragraphs with their boxes out."""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s3_to_milvus.domain.documents import Box
from s3_to_milvus.errors import ParserTimeout, UnsupportedFormat

__all__ = ["Engine", "Paragraph", "data_folder"]

_MIN_CONFIDENCE = 30
_SINGLE_COLUMN = 4  # PSM: with automatic segmentation, clean Korean pages lose half of their lines
_LSTM_ONLY = 1
# A blank is at least this share of the height of letters. Measured by bench/ocr.py: of 0.24 to 0.32 all do well.
_MIN_BLANK = 0.26
_HINT = "Install the language data, then retry: on Debian `apt-get install tesseract-ocr-kor tesseract-ocr-eng`."


class Paragraph(NamedTuple):
    """A paragraph and where it stands on its page."""

    text: str
    box: Box


def data_folder(wanted: str, languages: Sequence[str]) -> tuple[Path, tuple[str, ...]] | None:
    """The first folder that has data of at least one of the languages, and which; None: there is none."""
    places = [
        Path(wanted) if wanted else None,
        Path(sys.prefix, "share", "tessdata"),
        Path(os.environ["TESSDATA_PREFIX"]) if os.environ.get("TESSDATA_PREFIX") else None,
        *sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata"), reverse=True),
        Path("/usr/share/tessdata"),
        Path("/usr/local/share/tessdata"),
        Path("/opt/homebrew/share/tessdata"),
    ]
    for place in filter(None, places):
        found = tuple(name for name in languages if (place / f"{name}.traineddata").is_file())
        if found:
            return place, found
    return None


class Engine:
    """One tesseract, for one picture at a time. Made when it is first used."""

    def __init__(self, languages: Sequence[str], data_dir: str, page_timeout_s: float) -> None:
        self._languages = tuple(languages)
        self._data_dir = data_dir
        self._timeout_s = page_timeout_s
        self._lock = threading.Lock()
        self._api: Any = None

    def start(self) -> str:
        """Load the data; what is in use, for people. Raises `UnsupportedFormat` where tesseract or data is missing."""
        found = data_folder(self._data_dir, self._languages)
        if found is None:
            wanted = ", ".join(self._languages)
            raise UnsupportedFormat(f"Text in pictures is not read: no data for OCR ({wanted}) is there.", hint=_HINT)
        try:
            import tesserocr
        except ImportError as exc:
            raise UnsupportedFormat(
                "Text in pictures is not read: tesserocr is missing.", hint="pip install tesserocr"
            ) from exc
        place, languages = found
        if self._api is None:
            self._api = tesserocr.PyTessBaseAPI(
                path=f"{place}/", lang="+".join(languages), psm=_SINGLE_COLUMN, oem=_LSTM_ONLY
            )
        missing = [name for name in self._languages if name not in languages]
        note = f"; no data for {', '.join(missing)}" if missing else ""
        return f"tesseract {tesserocr.PyTessBaseAPI.Version()}, {'+'.join(languages)} of {place}{note}"

    def read(self, picture: Any, page: int) -> list[Paragraph]:
        """The paragraphs of a Pillow picture. Raises `ParserTimeout` naming the page."""
        with self._lock:
            self.start()
            self._api.SetImage(picture)
            self._api.SetSourceResolution(300)
            if not self._api.Recognize(int(self._timeout_s * 1000)):
                raise ParserTimeout(
                    f"Page {page}: reading its picture took longer than {self._timeout_s:g} s and was stopped.",
                    hint="Raise S2M_PARSER__OCR__PAGE_TIMEOUT_S if pages like this are expected, then retry.",
                )
            try:
                return list(self._paragraphs(picture.width, picture.height))
            finally:
                self._api.Clear()

    def _paragraphs(self, width: int, height: int) -> Iterator[Paragraph]:
        """What was recognised with some confidence."""
        from tesserocr import RIL, iterate_level

        found = self._api.GetIterator()
        if found is None:
            return
        box: Box | None = None
        lines: list[list[_Word]] = []
        for each in iterate_level(found, RIL.WORD):
            if each.Empty(RIL.WORD):
                continue
            if each.IsAtBeginningOf(RIL.PARA) or not lines:
                yield from _paragraph(lines, box)
                lines, corners = [], each.BoundingBox(RIL.PARA)
                is_sure = each.Confidence(RIL.PARA) >= _MIN_CONFIDENCE
                box = _box(corners, width, height) if corners and is_sure else None
            if each.IsAtBeginningOf(RIL.TEXTLINE) or not lines:
                lines.append([])
            if place := each.BoundingBox(RIL.WORD):
                lines[-1].append(_Word(each.GetUTF8Text(RIL.WORD), *place))
        yield from _paragraph(lines, box)


class _Word(NamedTuple):
    """A word and its place in pixels."""

    text: str
    left: int
    top: int
    right: int
    bottom: int


def _box(corners: tuple[int, int, int, int], width: int, height: int) -> Box:
    left, top, right, bottom = corners
    return Box(left / width, top / height, right / width, bottom / height)


def _paragraph(lines: list[list[_Word]], box: Box | None) -> Iterator[Paragraph]:
    """The paragraph, if it is one: noise has no letters."""
    text = "\n".join(filter(None, map(_line, lines)))
    if box is not None and any(char.isalnum() for char in text):
        yield Paragraph(text, box)


def _line(words: list[_Word]) -> str:
    """Words with a blank between them where the picture has one: tesseract takes each Hangul syllable for a word."""
    heights = sorted(word.bottom - word.top for word in words)
    usual = heights[len(heights) * 3 // 4] if heights else 0
    line = ""
    end = 0
    for word in words:
        is_hangul = bool(line) and (_is_hangul(line[-1]) or _is_hangul(word.text[:1]))
        line += word.text if not line or (is_hangul and word.left - end < _MIN_BLANK * usual) else f" {word.text}"
        end = word.right
    return " ".join(line.split())


def _is_hangul(char: str) -> bool:
    return "가" <= char <= "힣"
