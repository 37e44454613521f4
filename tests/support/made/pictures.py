"""Draws pictures of text for OCR, in every kind of file; a scanned PDF too."""

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["HEIC", "WORDS", "picture", "pictures"]

WORDS = "Harbour office 4711"

# What `picture` draws of `WORDS`; the library that writes HEIC is none of ours, which only reads it.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAU5tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    "AAAERAAAEAAQAAAAABcgABAAAAAAAAA7AAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAAzmlwcnAA"
    "AACvaXBjbwAAAHJodmNDAQQIAAAAn/gAAAAAPPAA/Pz4+AAADwNgAAEAF0ABDAH//wQIAAADAJ/4AAADAAA8ugJAYQABACZCAQEECAAAAwCf+A"
    "AAAwAAPMASyBRZbqSSmubAgAAADIAAAAMAhGIAAQAHRAHBcrBiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAAJYAAAAUAAAAA5w"
    "aXhpAAAAAAEIAAAAF2lwbWEAAAAAAAAAAQABBIECAwQAAAO4bWRhdAAAA6woAa4WoVycZ////53iwgxXHzzZujVYQwB35QOMQWvDx5cp8y47bC"
    "rc03BoltYU/uLw6feaQ87cKMtf5Gwtnbx8+yq2frCWC1R6CopmPu9ZkFHIS7aHfry7sJ9s1isUMqoXA1R81/hsHbhid6U2NTnYlRdEaI71BTDp"
    "j4bgZfDhJloPL2l6odME+4iU9X/VqfBFJchrPN3FcgKBt0mQB3XpNcPx01Vkpv/tsN2NFqegy9sInKiAwUKhQA08banmtBxaxWP8+Apzf30iDz"
    "epcfqyUDWiG9FmKDRIxJ44XrIWSfsHbc39rLzzWm1H5d0cJO67bls2x8QPiJCCsLNvTG87QizPyEUuG0wXPaNbFS6jRETuXk6HMW94sYUtCpob"
    "5yXinLhhuD/SH/RA6rvBiO62uRXkiEkl/lNrMLDtbhUVyHpnmwFWu0EbjDWKK0CZsqvlvqcB8cbgXo4KuDZK/ihQjK3RTIpviUmtXMFRp0RNlc"
    "/dak5gFTvvIV56vtDJEtwuYYX7We7/UjOEW6SbZKtEUGZO9/RsseZy4khjN1z6ttVDcC7Dixvm65AyP8sbc4etkJRf36MublNqA8qIVLCIIvd7"
    "PIgxWjEShoDzOpA/qcC78LG/UTDsHcta2ZuSza5UvsrtI/Zr2zWG8TwxaaZG7N6Yhg75OdtQkmxekLsOUvfNzZNld4cEz/23DgzsVyLwMdxvK0"
    "D68QQSK6FQ9AjGV3M00Z5XbyjU2UqQC7MDfRbbz36fl/XxqimVP6SiK3uQWwnuQp7dxtjwDQAKLqrFuMhgXgkHZCVD5MKFLdbk2jS0qy82jY/d"
    "q7JfVIhGj5nm0noc5X9Y335Iy7zTC/HgI9TwBU7AD9CWmRh92WoAjtzd9wDN0xoM9jwGInt11JBF4gMYXZ2AQAld9qFPBORgN0xVUyMTwQU3is"
    "wjHXViNwQAz/EYSX+yDEC2KztgAMCVDM7dA7kb6t/TYM9HHJyBYe7gGnAbHXT4kUOwR4dfWlsvW/NNxukPJs7VG1tiuG2BeZWVFBhzB/7IwK6O"
    "bSKNd0NzycXo6cNPEXc5oOS5l8rpQSMY50LZkafriNbvveG+dcPIUuTei4w6GpxazsjIb3XgxKwr/R4ZlukVWc7gg1RPy1iiCOMISk83bQR/pI"
    "H0UgLcwyNLMVqVYWz5w9APEyx87j76Fz6a9I0pr6QXLZQMzv7JpeW1UJAMGtCEqYBUiTjAAAADAADrgLAywocgX/giPpQAAAMAACUg"
)


def picture(text: str = WORDS) -> Image.Image:
    """One line of black letters."""
    image = Image.new("L", (600, 80), 255)
    ImageDraw.Draw(image).text((20, 16), text, fill=0, font=ImageFont.load_default(size=36))
    return image


def pictures(kind: str, texts: Sequence[str] = (WORDS,)) -> bytes:
    """A file of this kind (a name of Pillow) with a page, or frame, for each text."""
    first, *others = map(picture, texts)
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(buffer, kind, **more)
    return buffer.getvalue()
