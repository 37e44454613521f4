"""Requests whose end a proxy may see elsewhere than we do: refused, whatever the server below made of them."""

from collections.abc import Iterable

__all__ = ["MOST_DIGITS", "flaw_in"]

MOST_DIGITS = 18
"""More digits than any honest Content-Length has."""


def flaw_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What is wrong with the framing of a request (RFC 9112, 6.3 and 3.2); empty where nothing is."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    hosts = 0
    for name, value in headers:
        if name == b"content-length":
            lengths += value.split(b",")
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
        hosts += name == b"host"
    if lengths and codings:
        return "Content-Length and Transfer-Encoding stand together."
    if len(lengths) > 1:
        return "There are several values of Content-Length."
    if lengths and not _is_length(lengths[0].strip()):
        return "Content-Length is no number."
    if codings and codings != [b"chunked"]:
        return "Transfer-Encoding is something else than chunked."
    return "There are several Host headers." if hosts > 1 else ""


def _is_length(value: bytes) -> bool:
    return value.isdigit() and len(value) <= MOST_DIGITS
