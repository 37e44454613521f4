"""Which texts go into one request, and how a text that is too long is cut.

Tokens are counted by a bound that needs no tokenizer: every token of a byte-level encoding is at least one byte.
"""

from collections.abc import Iterator, Sequence

__all__ = ["batches", "is_likely_too_long", "token_bound", "windows"]

_BYTES_PER_TOKEN = 3  # only plain English has more; a text that is longer by this is cut without trying


def token_bound(text: str) -> int:
    """At least as many as the text has tokens."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def is_likely_too_long(text: str, max_tokens: int) -> bool:
    """True where trying it whole is not worth a request; between the bound and this the API has to say."""
    return token_bound(text) > max_tokens * _BYTES_PER_TOKEN


def batches(texts: Sequence[str], max_inputs: int, max_tokens: int) -> Iterator[range]:
    """The places of the texts of each request, in order; a text that is over the limit by itself goes alone."""
    start = tokens = 0
    for at, text in enumerate(texts):
        size = token_bound(text)
        if at > start and (at - start >= max_inputs or tokens + size > max_tokens):
            yield range(start, at)
            start, tokens = at, 0
        tokens += size
    if start < len(texts):
        yield range(start, len(texts))


def windows(text: str, max_tokens: int) -> list[str]:
    """Pieces within the bound, cut at a space where there is one near the end; joined they are the text."""
    pieces = []
    data = text.encode("utf-8", "replace")
    while len(data) > max_tokens:
        head = data[:max_tokens].decode("utf-8", "ignore")
        space = head.rfind(" ", len(head) * 3 // 4)
        head = head[: space + 1] if space > 0 else head
        pieces.append(head)
        data = data[len(head.encode()) :]
    if data:
        pieces.append(data.decode("utf-8", "replace"))
    return pieces
