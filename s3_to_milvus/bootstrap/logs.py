"""Logging: one line per event, JSON outside a terminal, never a document's text."""

import json
import logging
import sys
from typing import TextIO

import structlog

from s3_to_milvus.settings import LogSettings

__all__ = ["configure_logging"]

_QUIET = ("pymilvus", "milvus_lite", "botocore", "boto3", "urllib3", "watchfiles", "httpx", "uvicorn.access")


class _Lossy:
    """A stream that nobody fails by: what can't be written (the disk of the log is full) is counted and lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        """Write; and once that works again, how many lines were lost."""
        try:
            if self._lost:
                self._stream.write(
                    json.dumps({"event": "log.lines_lost", "level": "warning", "count": self._lost}) + "\n"
                )
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._lost += text.endswith("\n")
        else:
            self._lost = 0
        return len(text)

    def flush(self) -> None:
        """Done by `write`."""


def configure_logging(settings: LogSettings) -> None:
    """Send structlog's lines to stderr as the settings say; quiet the libraries."""
    level = getattr(logging, settings.level.upper())
    is_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=False)
            if is_json
            else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_Lossy(sys.stderr)),  # type: ignore[arg-type] # what it uses
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
