"""Dates that other programs wrote beside a file's rows, as the span of time they can mean."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime

__all__ = ["Span", "read_date"]

_KOREAN = re.compile(r"(\d{4})\s*년\s*(\d{1,2})\s*월\s*(\d{1,2})\s*일")
_PLAIN_DAY = re.compile(r"(\d{4})[./] ?(\d{1,2})[./] ?(\d{1,2})\.?")
_FRACTION = re.compile(r"(\d{2}:\d{2}:\d{2})[.,]\d+")
_EPOCH = re.compile(r"(\d{10})(\d{3})?(\.\d+)?")
_COMPACT = re.compile(r"(\d{8})[T _-]?(\d{6})")
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
# The clocks of the world: UTC-12 to UTC+14.
_EAST = timedelta(hours=14)
_WEST = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Span:
    """Epoch seconds: the moment that is meant lies in it; ``latest`` is not in it any more."""

    earliest: float
    latest: float


def read_date(text: str, zone: tzinfo | None = None) -> Span | None:
    """What a date can mean; None where it is none that we know.

    Read are ISO 8601, ``2024.05.01``, ``2024/05/01``, ``2024년 5월 1일``, each with or without a time of day,
    ``20240501093000``, HTTP's dates (RFC 9110), and epoch seconds or milliseconds. ``zone`` holds where the text
    names none; without both it may have been written anywhere on earth.
    """
    text = text.strip()
    if found := _EPOCH.fullmatch(text):
        return Span(float(found[1]), float(found[1]) + 1)
    parsed = _parse(text)
    if parsed is None:
        return None
    moment, length = parsed
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    if moment.tzinfo is not None:
        return _span(moment, timedelta(), length)
    return _span(moment.replace(tzinfo=UTC), _EAST, length + _WEST)


def _span(moment: datetime, before: timedelta, after: timedelta) -> Span | None:
    try:
        return Span((moment - before).timestamp(), (moment + after).timestamp())
    except (OverflowError, ValueError):  # year 1 or 9999, somewhere on earth
        return None


def _parse(text: str) -> tuple[datetime, timedelta] | None:
    """The moment, and how long the named second or day lasts."""
    plain = _PLAIN_DAY.sub(_as_iso, _KOREAN.sub(_as_iso, _FRACTION.sub(r"\1", text)))
    if found := _COMPACT.fullmatch(plain):
        plain = f"{found[1]}T{found[2]}"
    try:
        return datetime.fromisoformat(plain), _SECOND if ":" in plain or "T" in plain else _DAY
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text), _SECOND
    except (ValueError, TypeError, IndexError):
        return None


def _as_iso(found: re.Match[str]) -> str:
    return f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"
