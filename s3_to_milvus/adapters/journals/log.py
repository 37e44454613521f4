"""The journal for people who read the log: one structured line per finished job."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from pydantic import BaseModel, ConfigDict

from s3_to_milvus.domain.records import JournalEntry

__all__ = ["LogJournal"]


class LogJournal:
    """Writes each entry as the line ``journal.entry``; the name of the object is a field, its text never is one."""

    kind = "log"

    class Options(BaseModel):
        """There is nothing to set."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, options: Options) -> None:
        self._log = structlog.get_logger(__name__)

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """See `ports.Journal`. Lines carry the entry's id, so that a repeated delivery shows as one."""
        for entry in entries:
            self._log.info(
                "journal.entry",
                id=entry.id,
                bucket=entry.ref.bucket,
                key=entry.ref.key,
                action=entry.action,
                outcome=entry.outcome,
                started_at=datetime.fromtimestamp(entry.started_at, UTC).isoformat(timespec="milliseconds"),
                elapsed_s=round(entry.elapsed_s, 3),
                message=entry.message,
            )

    def check(self) -> str:
        """The log is always there."""
        return "finished jobs are written to the log"
