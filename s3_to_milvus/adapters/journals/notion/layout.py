"""Which column of a table holds what: found by name and type, so that tables of other makers can be written, too."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.journals.notion.rows import Row, age_of
from s3_to_milvus.adapters.journals.notion.values import (
    property_value,
    readable,
    shortened,
    status_word,
    text_of,
)
from s3_to_milvus.errors import ConfigError

__all__ = ["Layout", "PropertyNames"]

_NAMES: dict[str, tuple[str, ...]] = {
    "bucket": ("Bucket",),
    "status": ("Status", "Outcome", "Result"),
    "action": ("Action",),
    "elapsed": ("Elapsed Time (s)", "Elapsed (s)", "Elapsed", "Seconds"),
    "timestamp": ("Timestamp", "Started", "When", "Date"),
    "message": ("Message", "Details", "Log"),
    "job_id": ("Job ID",),
}
_KINDS: dict[str, tuple[str, ...]] = {
    "bucket": ("rich_text", "select", "multi_select"),
    "status": ("select", "status", "multi_select", "rich_text", "checkbox"),
    "action": ("select", "multi_select", "rich_text"),
    "elapsed": ("number", "rich_text"),
    "timestamp": ("date", "rich_text"),
    "message": ("rich_text",),
    "job_id": ("rich_text",),
}
_MESSAGE_UNITS = 20_000
_TITLE_UNITS = 4_000
_MARKED_UNITS = 1_800  # a text that is searched for its marker stays one part of 2,000
_FILTER_SIZE = 100
_MARK = "[s2m:"
_MARKED = re.compile(r"\[s2m:([^\]]*)\]\s*$")


class PropertyNames(BaseModel):
    """Names of columns. Empty: the names that the original system and `setup` use, where the table has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = ""
    status: str = ""
    action: str = ""
    elapsed: str = ""
    timestamp: str = ""
    message: str = ""
    job_id: str = ""


class Layout:
    """Made from the ``properties`` of a data source. Raises `ConfigError` for a named column that is not there.

    A marker is written into one place, and looked for in every text of a row that is not taken by something else, since
    people rename columns and add some. ``job_id``: Notion's id of the column of markers, whatever its name is now.
    """

    def __init__(self, properties: Mapping[str, Any], names: PropertyNames, job_id: str = "") -> None:
        self._kinds = {name: str(found.get("type", "")) for name, found in properties.items()}
        self._title = next((name for name, kind in self._kinds.items() if kind == "title"), "")
        self.columns = {field: column for field in _NAMES if (column := self._column(field, getattr(names, field)))}
        free = [name for name, kind in self._kinds.items() if kind == "rich_text" and name not in self.columns.values()]
        known = next((name for name in free if job_id and properties[name].get("id") == job_id), "")
        if known and "job_id" not in self.columns:
            self.columns["job_id"] = known
        self.job_id = str(properties.get(self.columns.get("job_id", ""), {}).get("id", ""))
        status = properties.get(self.columns.get("status", ""), {})
        kind = str(status.get("type", ""))
        options = (status.get(kind) or {}).get("options") or []
        self._options = [str(option.get("name", "")) for option in options]
        self._home = self.columns.get("job_id") or self.columns.get("message") or self._title
        places = [self._home, self.columns.get("message", ""), self._title, *free]
        self._places = [name for name in dict.fromkeys(places) if name][:_FILTER_SIZE]
        if not self._title:
            raise ConfigError("The table of Notion has no title property that can be written.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # two are compared after a refusal, and never kept in a set

    @property
    def missing(self) -> list[str]:
        """What has no column: it is told in the message, or in the title, or not at all."""
        return [_NAMES[field][0] for field in _NAMES if field not in self.columns]

    @property
    def at_once(self) -> int:
        """How many prefixes one `condition` may be for: a filter has at most 100 parts."""
        return _FILTER_SIZE // len(self._places)

    def properties(self, row: Row, *, is_update: bool = False) -> dict[str, Any]:
        """A row as the properties of a page. What has no column of its own goes into the message, or the title.

        ``is_update``: over a row that stands, of which nothing may stay that does not hold any more.
        """
        values: dict[str, Any] = {}
        homeless: list[str] = []
        if (status := self._status(row.outcome)) is not None:
            values[self.columns["status"]] = status
        else:
            homeless.append(row.outcome)
            if is_update and (column := self.columns.get("status")):
                values[column] = {self._kinds[column]: None}
        if column := self.columns.get("action"):
            values[column] = property_value(self._kinds[column], row.action)
        else:
            homeless.append(row.action)
        if column := self.columns.get("bucket"):
            values[column] = property_value(self._kinds[column], row.bucket)
        if (column := self.columns.get("elapsed")) and row.elapsed_s is not None:
            values[column] = _number(self._kinds[column], row.elapsed_s)
        if column := self.columns.get("timestamp"):
            values[column] = _time(self._kinds[column], row.at)
        return {**values, **self._texts(row, ": ".join(filter(None, [*homeless, row.message])))}

    def condition(self, prefixes: Iterable[str]) -> dict[str, Any]:
        """The filter that finds the rows whose markers start so, wherever in them."""
        return {"or": [self._condition(place, prefix) for prefix in prefixes for place in self._places]}

    def markers_of(self, page: Mapping[str, Any]) -> list[str]:
        """What may be markers in a page, the latest first: a column that was renamed may still hold an older one."""
        texts = [text_of((page.get("properties") or {}).get(place) or {}) for place in self._places]
        markers = [found[1] if (found := _MARKED.search(text)) else text for text in texts]
        return sorted(markers, key=age_of, reverse=True)

    def named_in(self, text: str) -> list[str]:
        """The columns that a refusal of Notion names."""
        written = [self._title, *self.columns.values()]
        return [name for name in dict.fromkeys(written) if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]

    def _condition(self, place: str, prefix: str) -> dict[str, Any]:
        word = "starts_with" if place == self.columns.get("job_id") else "contains"
        return {"property": place, self._kinds[place]: {word: prefix}}

    def _column(self, field: str, wanted: str) -> str:
        fits = _KINDS[field]
        if wanted:
            kind = self._kinds.get(wanted)
            if kind not in fits:
                said = "is not there" if kind is None else f"is of the type {kind}; one of {', '.join(fits)} is needed"
                hint = f"Change the table, or S2M_JOURNAL__NOTION__PROPERTIES__{field.upper()}."
                raise ConfigError(f"The property “{wanted}” of the table of Notion {said}.", hint=hint)
            return wanted
        known = {name.casefold(): name for name, kind in self._kinds.items() if kind in fits}
        return next((known[name.casefold()] for name in _NAMES[field] if name.casefold() in known), "")

    def _status(self, outcome: str) -> dict[str, Any] | None:
        """The value for an outcome; None: there is no column, or no option of it fits."""
        column = self.columns.get("status")
        if column is None:
            return None
        kind = self._kinds[column]
        if kind == "checkbox":
            return {"checkbox": outcome not in ("failed", "empty")}
        word = status_word(outcome, self._options, is_open=kind != "status")
        return None if word is None else property_value(kind, word)

    def _texts(self, row: Row, message: str) -> dict[str, Any]:
        """Title, message and marker."""
        title = row.title if "bucket" in self.columns else row.full_title
        texts = {self._title: title}
        if column := self.columns.get("message"):
            texts[column] = message
        elif message:
            texts[self._title] = f"{title} ({message})"
        for column, text in texts.items():
            most = _TITLE_UNITS if column == self._title else _MESSAGE_UNITS
            is_marked = column == self._home and "job_id" not in self.columns
            texts[column] = shortened(readable(text), _MARKED_UNITS if is_marked else most)
        if column := self.columns.get("job_id"):
            texts[column] = row.marker
        else:
            texts[self._home] = f"{texts[self._home]} {_MARK}{row.marker}]".lstrip()
        return {column: property_value(self._kinds[column], text) for column, text in texts.items()}


def _number(kind: str, elapsed_s: float) -> dict[str, Any]:
    shown = round(elapsed_s, 3)
    return {"number": shown} if kind == "number" else property_value(kind, str(shown))


def _time(kind: str, at: float) -> dict[str, Any]:
    shown = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return {"date": {"start": shown}} if kind == "date" else property_value(kind, shown)
