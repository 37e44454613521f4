"""Limits of the Milvus schema, counted as a server counts them: VARCHAR in UTF-8 bytes."""

__all__ = [
    "BUCKET_BYTES",
    "FILE_DATE_BYTES",
    "FILE_KEY_BYTES",
    "FILE_NAME_BYTES",
    "TEXT_BYTES",
    "clip_utf8",
    "storable_text",
]

TEXT_BYTES = 65_535
FILE_NAME_BYTES = 255
FILE_DATE_BYTES = 255
FILE_KEY_BYTES = 1_024
BUCKET_BYTES = 255


def clip_utf8(text: str, limit_bytes: int) -> str:
    """The longest head of ``text`` that fits into ``limit_bytes`` of UTF-8, cut on a character border."""
    if len(text) * 4 <= limit_bytes:
        return text
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit_bytes else data[:limit_bytes].decode("utf-8", "ignore")


def storable_text(text: str) -> str:
    """``text`` as every Milvus can hold it: no NUL, lone surrogates replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text.replace("\0", "") if "\0" in text else text
