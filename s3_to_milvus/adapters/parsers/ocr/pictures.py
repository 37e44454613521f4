"""Pictures to read: the frames of an image file, the rendered pages of a PDF. Grey, upright, of bounded size."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from s3_to_milvus.errors import DocumentTooLarge, EncryptedDocument, S3ToMilvusError, UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["frame_count", "frames", "rendered"]

_MAX_PIXELS = 200_000_000
_MAX_READ_PIXELS = 40_000_000
_SMALL_SIDE = 1_200


def frame_count(source: ParserInput) -> int:
    """How many frames an image has. Raises as `frames`."""
    with _image(source) as image:
        count = int(getattr(image, "n_frames", 1))
    source.limits.check_pages(count)
    return count


def frames(source: ParserInput) -> Iterator[tuple[int, Any]]:
    """Every frame of an image with its number from 1; those of ``source.pages`` only, where it names some.

    Raises `UnreadableDocument`, `DocumentTooLarge`.
    """
    from PIL import ImageOps

    with _image(source) as image:
        for number in range(1, getattr(image, "n_frames", 1) + 1):
            if source.pages is not None and number not in source.pages:
                continue
            image.seek(number - 1)
            _check_size(image.width, image.height)
            yield number, _prepared(ImageOps.exif_transpose(image))


@contextmanager
def _image(source: ParserInput) -> Iterator[Any]:
    """The open image; what Pillow cannot read is named in our words."""
    from pi_heif import register_heif_opener
    from PIL import Image

    register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # checked by `frames`, with words of our own
    try:
        with Image.open(io.BytesIO(source.read())) as image:
            yield image
    except (S3ToMilvusError, MemoryError):
        raise
    except Exception as exc:  # Pillow raises whatever a damaged file makes it meet
        raise UnreadableDocument("The image is damaged or cut short.") from exc


def rendered(source: ParserInput, dpi: int) -> Iterator[tuple[int, Any]]:
    """The pages ``source.pages`` of a PDF as pictures, at fewer dots per inch where a page is huge."""
    import pypdfium2

    document = _opened(pypdfium2, source)
    try:
        for number in source.pages or ():
            if not 1 <= number <= len(document):
                continue
            page = document[number - 1]
            width, height = page.get_size()
            fit = math.sqrt(_MAX_READ_PIXELS / max(1.0, width * height))
            picture = page.render(scale=min(dpi / 72, fit), grayscale=True).to_pil()
            page.close()
            yield number, picture
    except pypdfium2.PdfiumError as exc:
        raise UnreadableDocument("A page of the PDF is damaged: it cannot be shown.") from exc
    finally:
        document.close()


def _opened(pdfium: Any, source: ParserInput) -> Any:
    """The document, by the first password that fits."""
    data = source.read()
    for password in (None, *source.passwords):
        try:
            return pdfium.PdfDocument(data, password=password)
        except pdfium.PdfiumError as exc:
            if "password" not in str(exc).lower():
                raise UnreadableDocument("The PDF is damaged or cut short: it cannot be opened.") from exc
    raise EncryptedDocument("The PDF is protected by a password.")


def _check_size(width: int, height: int) -> None:
    """Refuse a picture that would not fit into memory."""
    if width * height > _MAX_PIXELS:
        raise DocumentTooLarge(
            f"The image has {width} x {height} pixels; {_MAX_PIXELS // 1_000_000} million are allowed.",
            hint="Scale the image down, or leave it: nothing else is held up by it.",
        )


def _prepared(image: Any) -> Any:
    """Grey on white, large enough for letters to be seen, and no larger than memory and time allow."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        whole = image.convert("RGBA")
        paper = Image.new("RGBA", whole.size, "white")
        paper.alpha_composite(whole)
        image = paper
    grey = image.convert("L")
    if grey.width * grey.height > _MAX_READ_PIXELS:
        scale = math.sqrt(_MAX_READ_PIXELS / (grey.width * grey.height))
    else:
        scale = 2.0 if max(grey.size) < _SMALL_SIDE else 1.0
    if scale == 1.0:
        return grey
    size = (max(1, int(grey.width * scale)), max(1, int(grey.height * scale)))
    return grey.resize(size, Image.Resampling.LANCZOS)
