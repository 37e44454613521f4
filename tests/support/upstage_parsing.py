"""Upstage's parser over the stand-in, and documents for it."""

from typing import Any

from s3_to_milvus.adapters.parsers.upstage import UpstageParser
from s3_to_milvus.ports import ParserInput, Tickets
from tests.support.pdfs import make_pdf
from tests.support.upstage_server import KEY, UpstageServer

__all__ = ["made_parser", "pdf_of"]


def made_parser(server: UpstageServer, tickets: Tickets | None = None, **options: Any) -> UpstageParser:
    """In a hurry."""
    given = {"api_key": KEY, "api_url": server.url, "requests_per_second": 1_000, "poll_s": 0.01, **options}
    return UpstageParser(UpstageParser.Options.model_validate(given), tickets=tickets)


def pdf_of(pages: int) -> ParserInput:
    """Each page has a title with its number, and a line."""
    data = make_pdf([[f"Title {number}", "Line."] for number in range(1, pages + 1)])
    return ParserInput("application/pdf", "x", len(data), data=data)
