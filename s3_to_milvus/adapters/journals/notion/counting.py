"""The rows that count jobs: looked up, added to, written."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from s3_to_milvus.adapters.journals.notion.table import NotionTable, Standing
from s3_to_milvus.adapters.journals.notion.tallies import Tally, hour_of
from s3_to_milvus.domain.records import JournalEntry

__all__ = ["HourRows"]


class HourRows:
    """Those of the hours and buckets of some entries, for one delivery. ``ledger``: which one their ids are from."""

    def __init__(self, table: NotionTable, ledger: str, entries: Sequence[JournalEntry]) -> None:
        self._table, self._ledger = table, ledger
        self._hours = {tally.prefix: [tally] for tally in (hour_of(entry, ledger) for entry in entries)}
        self._unread = [parts[0] for parts in self._hours.values()]
        self._standing: dict[str, Standing] = {}
        self._changed: dict[str, Tally] = {}

    @property
    def unread(self) -> list[str]:
        """The prefixes of rows that were not looked up yet."""
        return [tally.prefix for tally in self._unread]

    def take(self, found: Mapping[str, Standing]) -> None:
        """Take over what was found for `unread`. Where a row is full, the next part of its hour is unread now."""
        unread, self._unread = self._unread, []
        for tally in unread:
            if (standing := found.get(tally.prefix)) is not None:
                self._standing[tally.prefix] = standing
                tally.read(standing.marker)
                self._go_on(self._parts(tally))

    def read(self) -> None:
        """Look up what is unread, to the last part of each hour."""
        while self._unread:
            self.take(self._table.find(self.unread))

    def has(self, entry: JournalEntry) -> bool:
        """Whether a row counts it."""
        return any(part.has(entry) for part in self._parts(hour_of(entry, self._ledger)))

    def add(self, entries: Sequence[JournalEntry]) -> None:
        """Count entries, each once; nothing is written yet."""
        for entry in entries:
            parts = self._parts(hour_of(entry, self._ledger))
            self._go_on(parts)
            self.read()
            if not self.has(entry):
                parts[-1].add(entry)
                self._changed[parts[-1].prefix] = parts[-1]

    def works(self) -> list[Callable[[], None]]:
        """What writes the rows that have changed, one by one."""
        return [partial(self._table.put, tally.row(), self._standing.get(key)) for key, tally in self._changed.items()]

    def _parts(self, tally: Tally) -> list[Tally]:
        return self._hours[tally.first_prefix]

    def _go_on(self, parts: list[Tally]) -> None:
        if parts[-1].is_full:
            parts.append(parts[-1].next())
            self._unread.append(parts[-1])
