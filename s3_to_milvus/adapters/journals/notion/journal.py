"""Notion as the journal. The outbox gives at most 100 entries at a time, and gives them again after any failure."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from s3_to_milvus.adapters.journals.notion.client import NotionClient, id_in
from s3_to_milvus.adapters.journals.notion.counting import HourRows
from s3_to_milvus.adapters.journals.notion.failures import Refused, Unsure
from s3_to_milvus.adapters.journals.notion.layout import PropertyNames
from s3_to_milvus.adapters.journals.notion.ledger_name import LedgerName
from s3_to_milvus.adapters.journals.notion.rows import Row, file_row, is_newer, job_row
from s3_to_milvus.adapters.journals.notion.table import NotionTable
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.errors import ConfigError, Rejected, S3ToMilvusError, Unavailable
from s3_to_milvus.ports import Limits, Tickets

__all__ = ["NotionJournal"]

_PATIENCE = 3


class NotionJournal:
    """Writes jobs as rows of a table; a repeated delivery, also by another process, doubles none.

    ``per_job``: a row for each job; where more than ``summarise_over`` of a delivery are not written yet (a backfill),
    the jobs that did not fail are counted in one row for each bucket and hour instead. ``per_file``: a row for each
    file, which its newest job overwrites. ``failures``: a row for each job that failed. ``run_summary``: one row for
    each bucket and hour that counts its jobs. Rows that count are each ledger's own, and an hour has a further one
    where the ids of its jobs lie too scattered for the first to name them all.
    """

    kind = "notion"

    class Options(BaseModel):
        """``database_id``: of a database or data source, or the address of the page that shows it.

        ``summarise_over`` 0: never. ``settle_s``: how far Notion's search may lag behind what was written.
        ``timeout_s`` should not be below the 60 s in which Notion gives up on a request by itself.
        """

        model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

        token: SecretStr
        database_id: str
        mode: Literal["per_job", "per_file", "failures", "run_summary"] = "per_job"
        properties: PropertyNames = PropertyNames()
        summarise_over: int = Field(default=50, ge=0)
        requests_per_second: float = Field(default=3.0, ge=0.5)
        timeout_s: float = Field(default=60.0, gt=0)
        settle_s: float = Field(default=10.0, ge=0)
        base_url: str = "https://api.notion.com"

        @field_validator("database_id")
        @classmethod
        def _is_an_id(cls, value: str) -> str:
            return id_in(value)

    def __init__(
        self,
        options: Options,
        limits: Limits | None = None,
        tickets: Tickets | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._options = options
        client = NotionClient(
            options.token.get_secret_value(),
            base_url=options.base_url,
            timeout_s=options.timeout_s,
            per_second=options.requests_per_second,
            limits=limits,
            clock=clock,
            sleep=sleep,
        )
        table_id, names = options.database_id, options.properties
        self._table = NotionTable(client, table_id, names, options.settle_s, clock=clock, sleep=sleep)
        self._ledger = LedgerName(tickets, clock)
        self._sender = threading.Lock()  # looking up and writing belong together

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """See `ports.Journal`. After `Unsure` the same entries are looked up before they are written again."""
        mode = self._options.mode
        chosen = [entry for entry in entries if mode != "failures" or entry.outcome == "failed"]
        if not chosen:
            return
        with self._sender:
            if mode == "per_file":
                self._files(chosen)
            elif mode == "run_summary":
                hours = HourRows(self._table, self._ledger.get(), chosen)
                hours.add(chosen)
                _carried_out(hours.works())
            else:
                self._jobs(chosen)

    def check(self) -> str:
        """As `ObjectStore.check`: reads the columns of the table."""
        with self._sender:
            layout = self._table.layout(is_fresh=True)
        missing = f"; the table has no property for: {', '.join(layout.missing)}" if layout.missing else ""
        return f"finished jobs are written to Notion ({self._options.mode}){missing}"

    def _jobs(self, entries: Sequence[JournalEntry]) -> None:
        """A row for each; a job is written already where its row stands, or where the row of its hour counts it."""
        rows = {entry.id: job_row(entry) for entry in entries}
        over = self._options.summarise_over if self._options.mode == "per_job" else 0
        hours = HourRows(self._table, self._ledger.get() if over else "", entries if over else [])
        found = self._table.find([*(row.prefix for row in rows.values()), *hours.unread])
        hours.take(found)
        hours.read()
        left = [entry for entry in entries if rows[entry.id].prefix not in found and not (over and hours.has(entry))]
        many = [entry for entry in left if entry.outcome != "failed"] if over and len(left) > over else []
        if many:
            hours.add(many)
            try:
                _carried_out(hours.works())
            except Rejected as error:  # it is about none of the entries: one by one they would all become rows
                raise ConfigError(error.message, hint=error.hint) from error
        told = {entry.id for entry in many}
        _carried_out([partial(self._table.create, rows[entry.id]) for entry in left if entry.id not in told])

    def _files(self, entries: Sequence[JournalEntry]) -> None:
        newest: dict[str, Row] = {}
        for row in map(file_row, entries):
            if row.prefix not in newest or is_newer(row, newest[row.prefix].marker):
                newest[row.prefix] = row
        found = self._table.find(list(newest))
        works = []
        for prefix, row in newest.items():
            standing = found.get(prefix)
            if standing is None or is_newer(row, standing.marker):
                works.append(partial(self._table.put, row, standing))
        _carried_out(works)


def _carried_out(works: Sequence[Callable[[], None]]) -> None:
    """Do all, also past single failures; several in a row end it. What cannot go on for anybody is raised at once.

    Raises `Rejected` where a row is refused, `Unavailable` where it is not known whether one was written.
    """
    failures: list[S3ToMilvusError] = []
    in_a_row = 0
    for work in works:
        try:
            work()
            in_a_row = 0
        except (Unsure, Refused) as error:
            failures.append(error)
            in_a_row += 1
            if in_a_row == _PATIENCE:
                break
    if not failures:
        return
    refused = next((error for error in failures if isinstance(error, Refused)), None)
    if refused is not None:
        raise Rejected(refused.message, hint=refused.hint) from refused
    text = f"Notion did not say whether {len(failures)} of the entries were written"
    raise Unavailable(f"{text}; they are looked up before they are written again.") from failures[0]
