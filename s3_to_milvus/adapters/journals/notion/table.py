"""The table in Notion: each marker stands in one row, whatever happens to requests and to this process.

Notion has no key that makes a request safe to repeat. So: a marker that this process did not see written is looked up
before it is written, and only after its last uncertain attempt has settled, since Notion's index lags behind. What an
earlier process left is as uncertain as the start of this one.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from s3_to_milvus.adapters.journals.notion.client import NotionClient
from s3_to_milvus.adapters.journals.notion.failures import NotFound, Refused, Unsure
from s3_to_milvus.adapters.journals.notion.layout import Layout, PropertyNames
from s3_to_milvus.adapters.journals.notion.rows import Row
from s3_to_milvus.errors import S3ToMilvusError

__all__ = ["NotionTable", "Standing"]

_REMEMBERED = 20_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Standing:
    """A row that stands: its page, and its marker."""

    page_id: str
    marker: str


class NotionTable:
    """One thread at a time. ``some_id``: of a database (its first data source is the table) or of a data source."""

    def __init__(
        self,
        client: NotionClient,
        some_id: str,
        names: PropertyNames,
        settle_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._some_id, self._names, self._settle_s = client, some_id, names, settle_s
        self._clock, self._sleep = clock, sleep
        self._known: OrderedDict[str, Standing] = OrderedDict()
        self._unsure_since: dict[str, float] = {}
        self._started_at = clock()
        self._source_id = ""
        self._layout: Layout | None = None

    def layout(self, *, is_fresh: bool = False) -> Layout:
        """The columns; read once, and anew with ``is_fresh``."""
        if self._layout is None or is_fresh:
            if is_fresh or not self._source_id:
                self._source_id = self._resolved()
            properties = self._client.data_source(self._source_id).get("properties")
            job_id = "" if self._layout is None else self._layout.job_id
            self._layout = Layout(properties if isinstance(properties, dict) else {}, self._names, job_id)
        return self._layout

    def find(self, prefixes: Sequence[str]) -> dict[str, Standing]:
        """The rows that stand, by prefix. Waits where an attempt to write one has not settled."""
        asked = [prefix for prefix in prefixes if prefix not in self._known or prefix in self._unsure_since]
        if asked:
            self._settle(asked)
            found = self._repeated(lambda layout: list(self._search(layout, asked)))
            for prefix in asked:
                self._known.pop(prefix, None)
                self._unsure_since.pop(prefix, None)
            for prefix, standing in reversed(found):  # of two, the older one
                self._remember(prefix, standing)
        return {prefix: self._known[prefix] for prefix in prefixes if prefix in self._known}

    def create(self, row: Row) -> None:
        """Write a row that `find` did not find. After `Unsure` the next `find` looks it up."""
        page_id = self._attempt(
            row,
            lambda layout: self._client.create_page(self._source_id, layout.properties(row)),
        )
        self._remember(row.prefix, Standing(page_id, row.marker))

    def put(self, row: Row, standing: Standing | None) -> None:
        """Write a row over the one that stands; where none does, or a person has removed it meanwhile, anew."""
        if standing is None:
            self.create(row)
            return
        try:
            self._attempt(
                row,
                lambda layout: self._client.update_page(standing.page_id, layout.properties(row, is_update=True)),
            )
        except (NotFound, Refused) as error:
            if isinstance(error, Refused) and not error.is_in_trash:
                raise
            self._known.pop(row.prefix, None)
            self.create(row)
        else:
            self._remember(row.prefix, Standing(standing.page_id, row.marker))

    def _attempt(self, row: Row, ask: Callable[[Layout], _T]) -> _T:
        """Ask, and remember while it is not known whether it was done: also when this call is broken off."""
        self._unsure_since[row.prefix] = self._clock()
        try:
            answer = self._repeated(ask)
        except Unsure:
            self._unsure_since[row.prefix] = self._clock()
            raise
        except S3ToMilvusError:
            del self._unsure_since[row.prefix]  # certainly not done
            raise
        del self._unsure_since[row.prefix]
        return answer

    def _repeated(self, ask: Callable[[Layout], _T]) -> _T:
        """Ask; once more where the columns have changed since they were read."""
        layout = self.layout()
        try:
            return ask(layout)
        except NotFound:
            self._layout, self._source_id = None, ""  # a person may replace the table
            raise
        except Refused as refused:
            if refused.is_in_trash:
                raise
            fresh = self.layout(is_fresh=True)
            if fresh == layout:
                raise _named(refused, layout) from refused
        try:
            return ask(fresh)
        except Refused as refused:
            raise _named(refused, fresh) from refused

    def _search(self, layout: Layout, prefixes: Sequence[str]) -> Iterator[tuple[str, Standing]]:
        for start in range(0, len(prefixes), layout.at_once):
            chunk = prefixes[start : start + layout.at_once]
            for page in self._client.query(self._source_id, layout.condition(chunk)):
                markers = layout.markers_of(page)
                for prefix in chunk:
                    if marker := next((each for each in markers if each.startswith(prefix)), ""):
                        yield prefix, Standing(str(page.get("id", "")), marker)

    def _settle(self, prefixes: Sequence[str]) -> None:
        last = max([self._started_at, *(self._unsure_since.get(prefix, self._started_at) for prefix in prefixes)])
        wait_s = last + self._settle_s - self._clock()
        if wait_s > 0:
            self._sleep(wait_s)

    def _remember(self, prefix: str, standing: Standing) -> None:
        self._known[prefix] = standing
        self._known.move_to_end(prefix)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _resolved(self) -> str:
        """The id of the data source."""
        try:
            database = self._client.database(self._some_id)
        except (NotFound, Refused):
            return str(self._client.data_source(self._some_id).get("id", self._some_id))
        sources = database.get("data_sources") or []
        if not sources:
            raise NotFound("The database of Notion has no data source that is shared with the integration.")
        return str(sources[0].get("id", ""))


def _named(refused: Refused, layout: Layout) -> Refused:
    """The refusal, with the columns that it is about."""
    columns = layout.named_in(refused.said)
    if not columns:
        return Refused(f"{refused.message} The table may have changed.", said=refused.said, hint=refused.hint)
    shown = ", ".join(f"“{column}”" for column in columns)
    hint = "Give the property the type that `s3-to-milvus notion-setup` makes, or name another one in the settings."
    return Refused(f"Notion refuses what is written into the property {shown}.", said=refused.said, hint=hint)
