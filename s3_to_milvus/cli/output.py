"""Answers on stdout: JSON for programs, plain lines and tables for people. Everything else goes to stderr."""

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

__all__ = ["costs", "counted", "json_option", "note", "print_json", "print_table", "shown", "size_of", "time_of"]

# Control characters could drive the terminal, bidirectional ones could make a name look like another one.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_WIDE = 10_000

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def shown(text: str) -> str:
    """Text from outside as it may be shown in a terminal: what is not a visible character is spelled out."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def note(text: str) -> None:
    """A remark for people, on stderr."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """One line of JSON, readable where the terminal can show it, always exact."""
    import json

    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(value)
    click.echo(text)


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[int] = ()) -> None:
    """Columns under their heads, wide characters counted right; ``numbers`` are the columns to put to the right."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(f"{cell:,}" if isinstance(cell, int) else str(cell))) for cell in row))
    if sys.stdout.isatty():
        Console(markup=False, emoji=False, highlight=False).print(table)
        return
    page = StringIO()
    Console(file=page, width=_WIDE, markup=False, emoji=False, highlight=False).print(table)
    for line in page.getvalue().splitlines():
        click.echo(line.rstrip())


def time_of(epoch_s: float | None) -> str:
    """A time as the clock on the wall shows it."""
    from datetime import datetime

    if epoch_s is None:
        return ""
    return datetime.fromtimestamp(epoch_s).astimezone().isoformat(sep=" ", timespec="seconds")


def size_of(size_bytes: int) -> str:
    """Bytes in a unit that reads well."""
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        size /= 1_000
        if size < 1_000:
            return f"{size:.1f} {unit}"
    return f"{size / 1_000:.1f} TB"


def counted(count: int, noun: str) -> str:
    """A number of things: ``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def costs(answer: Mapping[str, Any]) -> str:
    """What paid services charged, of an answer that says so; empty where that is nothing."""
    tokens, pages, usd = (answer.get(name, 0) for name in ("tokens", "pages", "usd"))
    told = []
    if tokens:
        told.append(counted(tokens, "token"))
    if pages:
        told.append(counted(pages, "page"))
    if usd:
        told.append(_dollars(usd))
    return ", ".join(told)


def _dollars(usd: float) -> str:
    """To the cent, and of less than ten cents two digits."""
    places = max(2, 1 - math.floor(math.log10(usd)))
    return f"${usd:,.{places}f}"
