"""Pictures that are too large for the service lose bytes, not what they show; scans are sent as they are."""

import io
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from PIL import Image, ImageDraw

from s3_to_milvus.adapters.parsers.upstage import UpstageCutter, UpstageParser
from s3_to_milvus.adapters.parsers.upstage.cutting import PDFIUM
from s3_to_milvus.domain.documents import Attachment, Document
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.errors import DocumentTooLarge
from s3_to_milvus.ports import ParserInput
from tests.support.pdfs import make_pdf
from tests.support.upstage_server import KEY, Fault, upstage_server

PDF = "application/pdf"
_SIDE = 1_000
_MB = 1 << 20


def _reduced(data: bytes, media_type: str) -> Image.Image:
    """What is sent of a picture of more than 1 MB, in grey."""
    assert len(data) > _MB
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1))
    (part,) = cutter.parse(ParserInput(media_type, "x", len(data), data=data)).attachments
    assert part.data is not None
    assert len(part.data) <= _MB
    return Image.open(io.BytesIO(part.data)).convert("L")


def _saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **more)
    return held.getvalue()


def _noise(mode: str = "L", size: tuple[int, int] = (_SIDE, _SIDE)) -> Image.Image:
    """No format makes it small."""
    count = size[0] * size[1] * len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, random.Random(1).randbytes(count))


def _mean(image: Image.Image, box: tuple[float, float, float, float]) -> float:
    """How bright a part of it is; ``box`` in shares of its sides."""
    across, down = image.size
    part = image.crop((int(box[0] * across), int(box[1] * down), int(box[2] * across), int(box[3] * down)))
    return sum(value * count for value, count in enumerate(part.histogram())) / (part.width * part.height)


_LEFT, _RIGHT = (0.05, 0.1, 0.45, 0.9), (0.55, 0.1, 0.95, 0.9)
_TOP, _BOTTOM = (0.1, 0.05, 0.9, 0.45), (0.1, 0.55, 0.9, 0.95)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    """Black text on nothing: without a ground of white it is black on black."""
    image = _noise("RGBA")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, _SIDE // 2, _SIDE), fill=(0, 0, 0, 255))
    draw.rectangle((_SIDE // 2, 0, _SIDE, _SIDE), fill=(0, 0, 0, 0))
    noise = _noise("RGBA", (_SIDE, 400))  # a strip of it makes the file large
    image.paste(noise, (0, 300))
    made = image.quantize(255) if mode == "P" else image.convert(mode)
    data = _saved(made, "PNG") if mode == "LA" else _saved(image if mode == "RGBA" else made, "PNG")
    shown = _reduced(data + bytes(_MB), "image/png")
    assert _mean(shown, (0.05, 0.02, 0.45, 0.25)) < 40
    assert _mean(shown, (0.55, 0.02, 0.95, 0.25)) > 215


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("TIFF", "image/tiff")])
def test_grey_of_16_bits_keeps_its_shades(kind: str, media_type: str) -> None:
    values = b"".join((9_000 if column < _SIDE // 2 else 60_000).to_bytes(2, "little") for column in range(_SIDE))
    image = Image.frombytes("I;16", (_SIDE, _SIDE), values * _SIDE)
    shown = _reduced(_saved(image, kind) + bytes(_MB), media_type)
    assert _mean(shown, _LEFT) < 60
    assert _mean(shown, _RIGHT) > 200


def test_white_of_16_bits_is_white_and_black_is_black() -> None:
    for value, low, high in ((0, 0, 5), (65_535, 250, 255)):
        image = Image.frombytes("I;16", (_SIDE, _SIDE), value.to_bytes(2, "little") * _SIDE**2)
        shown = _reduced(_saved(image, "PNG") + bytes(_MB), "image/png")
        assert low <= _mean(shown, _LEFT) <= high


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("TIFF", "image/tiff")])
def test_a_picture_that_was_taken_on_its_side_is_turned(kind: str, media_type: str) -> None:
    image = Image.new("L", (_SIDE, _SIDE // 2), 255)
    image.paste(0, (0, 0, _SIDE // 2, _SIDE // 2))  # dark on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter to the right, its left is on top
    shown = _reduced(_saved(image, kind, exif=exif) + bytes(_MB), media_type)
    assert shown.height > shown.width
    assert _mean(shown, _TOP) < 40
    assert _mean(shown, _BOTTOM) > 215


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_facts_about_a_picture_do_not_matter() -> None:
    data = _saved(Image.new("L", (_SIDE, _SIDE), 255), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert _mean(_reduced(data + bytes(_MB), "image/jpeg"), _LEFT) > 250


def test_many_pages_are_not_too_many_pixels() -> None:
    """24 pages of A4 at 300 dots per inch: the limit is one of a page."""
    size = (2_480, 3_508)
    pages = [Image.new("1", size, 1) for _ in range(24)]
    data = _saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="group4")
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1))
    found = cutter.parse(ParserInput("image/tiff", "x", 2 * _MB, data=data))
    assert found.page_count == 24
    (part,) = found.attachments
    with PDFIUM:
        sent = pypdfium2.PdfDocument(part.data)
        assert len(sent) == 24
        sent.close()


def test_one_page_of_too_many_pixels_is_refused() -> None:
    data = _saved(Image.new("1", (20_000, 10_100), 1), "TIFF", compression="group4")
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1))
    with pytest.raises(DocumentTooLarge, match="200 million pixels"):
        cutter.parse(ParserInput("image/tiff", "x", 2 * _MB, data=data))


def _scan(pages: int, side: int = 600) -> bytes:
    """Pictures only; each page has about ``side`` squared / 2 bytes."""
    pictures = [_noise("L", (side, side + number)) for number in range(pages)]
    return _saved(pictures[0], "PDF", save_all=True, append_images=pictures[1:], quality=85)


def _pictures_of(data: bytes) -> list[tuple[int, int]]:
    """The size of the picture of each page."""
    with PDFIUM:
        document = pypdfium2.PdfDocument(data)
        sizes = []
        for page in document:
            sizes += [each.get_px_size() for each in page.get_objects() if isinstance(each, pypdfium2.PdfImage)]
            page.close()
        document.close()
        return sizes


def test_a_large_scan_that_the_service_takes_is_sent_as_it_is() -> None:
    data = _scan(12)
    assert len(data) > _MB
    with upstage_server() as server:
        options = {"api_key": KEY, "api_url": server.url, "requests_per_second": 1_000, "image_mb": 1, "sync_mb": 1}
        parser = UpstageParser(UpstageParser.Options.model_validate(options))
        assert parser.parse(ParserInput(PDF, "x", len(data), data=data)).page_count == 12
        ((path, fields, sent),) = server.posts
    assert path.endswith("/async")
    assert sent == data
    assert fields["ocr"] == "force"  # pages without text are pictures


def test_a_page_of_a_scan_where_no_text_was_found_is_not_paid_again() -> None:
    data = _scan(12)
    page = b'{"page": 2, "category": "paragraph", "content": {"html": "<p>a</p>"}}'
    with upstage_server() as server:
        server.faults = [Fault(200, body=b'{"elements": [%s], "usage": {"pages": 12}}' % page)]
        options = {"api_key": KEY, "api_url": server.url, "requests_per_second": 1_000, "image_mb": 1}
        parser = UpstageParser(UpstageParser.Options.model_validate(options))
        assert parser.parse(ParserInput(PDF, "x", len(data), data=data)).unread_pages == ()


def test_a_scan_above_the_limit_comes_in_parts_below_it() -> None:
    data = _scan(12)
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1, part_mb=1))
    parts = [each.data or b"" for each in cutter.parse(ParserInput(PDF, "x", len(data), data=data)).attachments]
    assert len(parts) > 1
    assert all(len(part) <= _MB for part in parts)
    assert [size for part in parts for size in _pictures_of(part)] == [(600, 600 + number) for number in range(12)]


def test_parts_say_how_many_pages_they_have_where_sizes_differ() -> None:
    """By the mean, the heavy pages would come together in a part above the limit."""
    light, heavy = [Image.new("L", (200, 200), 255)] * 6, [_noise("L", (900, 900)) for _ in range(4)]
    data = _saved(light[0], "PDF", save_all=True, append_images=[*light[1:], *heavy], quality=85)
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1, part_mb=1))
    parts = list(cutter.parse(ParserInput(PDF, "x", len(data), data=data)).attachments)
    assert all(len(part.data or b"") <= _MB for part in parts)
    counts = [len(_pictures_of(part.data or b"")) for part in parts]
    assert counts == [int(part.name.partition("-")[0]) for part in parts]
    assert sum(counts) == 10


def test_one_page_above_the_limit_is_reduced() -> None:
    data = _saved(_noise("L", (1_700, 1_700)), "PDF", quality=95, resolution=300)
    assert len(data) > 2 * _MB
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1, part_mb=1))
    (part,) = cutter.parse(ParserInput(PDF, "x", len(data), data=data)).attachments
    assert part.name == "1-reduced.pdf"
    assert len(part.data or b"") <= _MB


class _Passing:
    """Cuts as `UpstageCutter`; what a part's path names is there only until the next part is asked for."""

    kind, fingerprint, media_types = "passing", "passing", UpstageCutter.media_types
    page_media_types: frozenset[str] = frozenset()
    formats: tuple[Format, ...] = ()

    def __init__(self, folder: Path, part_pages: int) -> None:
        self._folder = folder
        self._cutter = UpstageCutter(UpstageCutter.Options(part_pages=part_pages))

    def parse(self, source: ParserInput) -> Document:
        found = self._cutter.parse(source)
        return replace(found, attachments=self._passing(list(found.attachments)))

    def check(self) -> str:
        return "ready"

    def _passing(self, parts: list[Attachment]) -> Iterator[Attachment]:
        for number, part in enumerate(parts):
            path = self._folder / str(number)
            path.write_bytes(part.data or b"")
            yield Attachment(part.name, path=path)
            path.unlink()


def test_each_part_is_sent_before_the_next_is_asked_for(tmp_path: Path) -> None:
    """As those of a child do: large ones lie in a file that does not stay."""
    data = make_pdf([[f"Title {number}"] for number in range(1, 6)])
    with upstage_server() as server:
        options = {"api_key": KEY, "api_url": server.url, "requests_per_second": 1_000}
        parser = UpstageParser(UpstageParser.Options.model_validate(options), _Passing(tmp_path, 2))
        document = parser.parse(ParserInput(PDF, "x", len(data), data=data))
        assert len(server.posts) == 3
    assert {block.page for block in document.blocks} == set(range(1, 6))


def test_hundreds_of_scanned_pages_are_ready_within_seconds() -> None:
    data = _scan(300, 400)
    cutter = UpstageCutter(UpstageCutter.Options(image_mb=1))
    began = time.process_time()
    found = cutter.parse(ParserInput(PDF, "x", len(data), data=data))
    assert time.process_time() - began < 30
    assert (found.page_count, list(found.attachments)) == (300, [])
