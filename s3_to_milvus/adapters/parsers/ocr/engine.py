"""Tesseract through tesserocr: a grey picture in, paragraphs with their boxes out."""

import os
import re
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
_SYLLABLES = re.compile(r"(?<![^\W\d_])([가-힣]) (?=[가-힣](?: |$))")
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
        for each in iterate_level(found, RIL.PARA):
            if each.Empty(RIL.PARA) or each.Confidence(RIL.PARA) < _MIN_CONFIDENCE:
                continue
            text = "\n".join(_joined(line) for line in each.GetUTF8Text(RIL.PARA).splitlines()).strip()
            corners = each.BoundingBox(RIL.PARA)
            if corners and any(char.isalnum() for char in text):
                left, top, right, bottom = corners
                yield Paragraph(text, Box(left / width, top / height, right / width, bottom / height))


def _joined(line: str) -> str:
    """A Korean line that came out as single syllables, put together again."""
    words = line.split()
    single = sum(len(word) == 1 and "가" <= word <= "힣" for word in words)
    return _SYLLABLES.sub(r"\1", line) if len(words) > 4 and single * 10 >= len(words) * 8 else line
