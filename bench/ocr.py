"""How many characters OCR gets wrong: pages of Korean, English and both, A4 at 11 pt, clean and worn.

The character error rate is the edit distance to the text, without blanks, as a share of its length. Two fonts
(NanumGothic, NanumMyeongjo) at 150 and 300 dpi; worn pages are turned by 0.7 degrees, blurred, noisy and saved as a
poor JPEG, with a fixed seed. Words: the share of the text's words that came out whole, blanks at the right places
(tesseract tends to set one behind every Korean syllable).
``python -m bench.ocr FOLDER`` takes the language data of a folder.
"""

import sys
import time
import unicodedata
from itertools import product
from pathlib import Path

from bench.references import recall
from bench.scans import FONTS, TEXTS, font_file, page
from bench.tools import head, line
from s3_to_milvus.adapters.parsers.ocr import OcrParser
from s3_to_milvus.errors import UnsupportedFormat
from s3_to_milvus.ports import ParserInput

__all__ = ["main"]

_WANTED = {"Korean": 6.0, "English": 2.5}


def main(data_dir: str = "") -> int:
    """Print a table; 1 where fonts or OCR are missing."""
    fonts = [(name, font_file(name)) for name in FONTS]
    if missing := [name for name, file in fonts if file is None]:
        print(f"Not measured: fonts are missing: {', '.join(missing)} (Debian: `apt-get install fonts-nanum`).")
        return 1
    parser = OcrParser(OcrParser.Options(data_dir=data_dir))
    try:
        about = parser.check()
    except UnsupportedFormat as error:
        print(f"Not measured: {error.message} {error.hint}")
        return 1
    _measure(parser, [file for _, file in fonts if file is not None])
    print(f"\n{about.partition(' of /')[0]}" + (", data of the folder given" if data_dir else ""))
    return 0


def _measure(parser: OcrParser, fonts: list[Path]) -> None:
    """Every page, then the means."""
    head()
    rates: dict[str, list[float]] = {}
    words: dict[str, list[float]] = {}
    times: list[float] = []
    for language, kind, text in TEXTS:
        for dpi, is_noisy in product((150, 300), (False, True)):
            row = []
            for file in fonts:
                picture = page(text, file, dpi, is_noisy=is_noisy)
                began = time.monotonic()
                found = _read(parser, picture)
                times.append(time.monotonic() - began)
                row.append(_error_rate(text, found))
                words.setdefault(language, []).append(100 * recall(text, found))
            rates.setdefault(language, []).extend(row)
            each = ", ".join(f"{name.removeprefix('Nanum')} {rate:.1f}" for name, rate in zip(FONTS, row, strict=True))
            line(f"{language} {kind}, {dpi} dpi, {'worn' if is_noisy else 'clean'} ({each})", _mean(row), "%")
    for language, found_rates in rates.items():
        line(f"**{language}, mean of {len(found_rates)} pages**", _mean(found_rates), "%", _WANTED.get(language))
    for language, shares in words.items():
        line(f"{language}, words found whole", _mean(shares), "%")
    line("time of a page, mean", _mean(times), "s")
    line("time of a page, longest", max(times), "s")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _read(parser: OcrParser, picture: bytes) -> str:
    source = ParserInput("image/png", "page.png", len(picture), data=picture)
    return "\n".join(block.text for block in parser.parse(source).blocks)


def _error_rate(wanted: str, found: str) -> float:
    """In per cent, blanks left out."""
    left, right = ("".join(unicodedata.normalize("NFC", text).split()) for text in (wanted, found))
    return 100 * _distance(left, right) / len(left)


def _distance(left: str, right: str) -> int:
    """Levenshtein's."""
    before: list[int] = [*range(len(right) + 1)]
    for row, one in enumerate(left, 1):
        now = [row]
        for column, other in enumerate(right, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (one != other)))
        before = now
    return before[-1]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
