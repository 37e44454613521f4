"""Pictures made smaller without losing what they show: upright, on white, in 8 bits, as JPEGs."""

import contextlib
import io
from typing import Any

from s3_to_milvus.errors import DocumentTooLarge, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["reduced_frames"]

_QUALITIES = (85, 75, 60, 45)
_MAX_PIXELS = 200_000_000  # of a page
_SMALL_SIDE = 600  # a picture is never made smaller than this
_DEEP = ("I", "F")


def reduced_frames(source: ParserInput, most_bytes: int) -> list[bytes]:
    """The pictures of an image file (several in a TIFF of several pages) as JPEGs, together below a size.

    One of them is in memory at a time. Raises `UnreadableDocument`, `DocumentTooLarge`.
    """
    from pi_heif import register_heif_opener
    from PIL import Image, ImageSequence

    register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # checked here, with words of our own
    found = []
    try:
        with Image.open(io.BytesIO(source.read())) as image:
            count = getattr(image, "n_frames", 1)
            source.limits.check_pages(count)
            for frame in ImageSequence.Iterator(image):
                if frame.width * frame.height > _MAX_PIXELS:
                    raise DocumentTooLarge(f"The image has more than {_MAX_PIXELS // 1_000_000} million pixels.")
                found.append(_reduced(_plain(frame), most_bytes // max(1, count)))
    except (DocumentTooLarge, MemoryError):
        raise
    except Exception as exc:  # Pillow raises whatever a damaged file makes it meet
        raise UnreadableDocument("The image is damaged or cut short.") from exc
    if not found:
        raise UnreadableDocument("The image is damaged or cut short.")
    return found


def _plain(image: Any) -> Any:
    """A picture in grey or in colours as people see it: upright, nothing of it transparent, each shade kept."""
    from PIL import Image, ImageOps

    image.load()
    with contextlib.suppress(Exception):  # what a broken EXIF makes Pillow raise: then nobody knows what is up
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(_DEEP):
        return _in_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image.getchannel("A"))
        return ground
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _in_8_bits(image: Any) -> Any:
    """Pillow's own conversion makes white of all that is above 255."""
    image = image if image.mode in _DEEP else image.convert("I")
    lowest, highest = image.getextrema()
    if image.mode == "F" and lowest >= 0 and 0 < highest <= 1:
        scale = 255.0
    elif highest > 255:
        # Shades of 16 bits end at 65535; of anything else at the brightest that there is.
        scale = 255.0 / (65_535 if 4_095 < highest <= 65_535 else highest)
    else:
        scale = 1.0
    return image.point(lambda shade: shade * scale + 0.0).convert("L")


def _reduced(image: Any, most_bytes: int) -> bytes:
    """A JPEG below the size: first of less quality, then of fewer pixels."""
    while True:
        for quality in _QUALITIES:
            held = io.BytesIO()
            image.save(held, "JPEG", quality=quality)
            if held.tell() <= most_bytes:
                return held.getvalue()
        if max(image.size) <= _SMALL_SIDE:
            return held.getvalue()
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))
