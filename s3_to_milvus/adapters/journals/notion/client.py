"""Requests to Notion through its SDK: paced, never repeated by themselves, failures in our words.

API of 2026-03-11: a database holds data sources, and a data source is the table.
https://developers.notion.com/docs/upgrade-guide-2025-09-03
"""

import logging
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from s3_to_milvus.adapters.journals.notion.failures import Unsure, translated
from s3_to_milvus.adapters.limits import MemoryLimits, limit_name
from s3_to_milvus.adapters.pacing import Pace
from s3_to_milvus.errors import ConfigError, RateLimited, Unauthorized
from s3_to_milvus.ports import Limits

__all__ = ["VERSION", "NotionClient", "id_in"]

VERSION = "2026-03-11"
_PATIENCE_S = 5.0
_TRIES = 4
_PAGE_SIZE = 100
_ID = re.compile(r"[0-9a-f]{32}$")
_SILENT = logging.CRITICAL + 1  # the SDK would log what Notion says


def id_in(text: str) -> str:
    """The 32 hex digits of an id, with or without dashes, or at the end of the path of an address of Notion.

    The digits behind ``?v=`` name a view and are left out. Raises `ValueError`.
    """
    path = re.split(r"[?#]", text.strip(), maxsplit=1)[0].rstrip("/")
    found = _ID.search(path.replace("-", "").lower())
    if found is None:
        raise ValueError("no id of Notion: 32 hex digits, or the address of the database, are expected")
    return found.group()


class NotionClient:
    """One token; ``per_second`` requests over all that go by the same ``limits`` (None: this client alone).

    What Notion asks to wait is waited for by everybody.
    """

    def __init__(
        self,
        token: str,
        *,
        base_url: str = "https://api.notion.com",
        timeout_s: float = 60.0,
        per_second: float = 3.0,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._token, self._base_url, self._timeout_s = token, base_url.rstrip("/"), timeout_s
        self._clock, self._sleep = clock, sleep
        limits = MemoryLimits(clock, sleep) if limits is None else limits
        self._pace = Pace(per_second * 60, burst_s=1.0, name=limit_name("notion", token, "requests"), limits=limits)
        self._closed_until = float("-inf")
        self._lock = threading.Lock()
        self._sdk: Any = None

    def database(self, database_id: str) -> dict[str, Any]:
        """A database with its ``data_sources``. Raises `NotFound`."""
        return self._ask(lambda sdk: sdk.databases.retrieve(database_id))

    def data_source(self, data_source_id: str) -> dict[str, Any]:
        """A data source with its ``properties``, the columns. Raises `NotFound`."""
        return self._ask(lambda sdk: sdk.data_sources.retrieve(data_source_id))

    def query(self, data_source_id: str, condition: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The pages that fulfil a filter, oldest first. Notion's index may be seconds behind what was written."""
        more: dict[str, Any] = {"sorts": [{"timestamp": "created_time", "direction": "ascending"}]}
        while True:
            answer = self._ask(
                lambda sdk, more=more: sdk.data_sources.query(  # type: ignore[misc]
                    data_source_id, filter=condition, page_size=_PAGE_SIZE, **more
                )
            )
            yield from (page for page in answer.get("results") or [] if isinstance(page, dict))
            if not answer.get("has_more") or not answer.get("next_cursor"):
                return
            more = {**more, "start_cursor": answer["next_cursor"]}

    def create_page(self, data_source_id: str, properties: Mapping[str, Any]) -> str:
        """The id of a new page. Raises `Unsure` where it may have been made nevertheless."""
        parent = {"type": "data_source_id", "data_source_id": data_source_id}
        return self._named(self._ask(lambda sdk: sdk.pages.create(parent=parent, properties=properties)))

    def update_page(self, page_id: str, properties: Mapping[str, Any]) -> None:
        """Change a page. Raises `NotFound`, and `Refused` where it is in the trash."""
        self._ask(lambda sdk: sdk.pages.update(page_id, properties=properties))

    def create_database(self, page_id: str, title: Sequence[Any], properties: Mapping[str, Any]) -> str:
        """The id of a new database on a page."""
        parent = {"type": "page_id", "page_id": page_id}
        source = {"properties": properties}
        answer = self._ask(lambda sdk: sdk.databases.create(parent=parent, title=title, initial_data_source=source))
        return self._named(answer)

    def _named(self, answer: Mapping[str, Any]) -> str:
        found = answer.get("id")
        if not isinstance(found, str) or not found:
            raise Unsure("Notion did not say what it made.")
        return found

    def _ask(self, call: Callable[[Any], Any]) -> dict[str, Any]:
        """Ask once; again only where Notion said that it did nothing and when to come back."""
        for attempt in range(_TRIES):
            self._turn()
            try:
                answer = call(self._connected())
            except (Unauthorized, ConfigError):
                raise
            except Exception as exc:
                error = translated(exc, time.time())
                if isinstance(error, RateLimited):
                    self._close(1.0 if error.retry_after_s is None else error.retry_after_s)
                    if attempt + 1 < _TRIES:
                        continue
                raise error from exc
            if isinstance(answer, dict):
                return answer
            break
        raise Unsure("Notion answered with something unexpected.")

    def _turn(self) -> None:
        """Wait until a request may go out. Raises `RateLimited` where that takes more than seconds."""
        with self._lock:
            wait_s = self._closed_until - self._clock()
        if wait_s > _PATIENCE_S:
            raise RateLimited("Notion asked to slow down.", retry_after_s=wait_s)
        if wait_s > 0:
            self._sleep(wait_s)
        self._pace.wait(1)

    def _close(self, wait_s: float) -> None:
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + wait_s)
        self._pace.pause(wait_s)

    def _connected(self) -> Any:
        with self._lock:
            if self._sdk is None:
                if not self._token:
                    hint = "Set S2M_JOURNAL__NOTION__TOKEN (or NOTION_TOKEN) to the token of the integration."
                    raise Unauthorized("No token for Notion is set.", hint=hint)
                import notion_client

                self._sdk = notion_client.Client(
                    auth=self._token,
                    base_url=self._base_url,
                    notion_version=VERSION,
                    timeout_ms=int(self._timeout_s * 1_000),
                    logger=logging.getLogger(f"{__name__}.sdk"),
                    log_level=_SILENT,
                    retry=False,
                )
                weakref.finalize(self, self._sdk.close)
            return self._sdk
