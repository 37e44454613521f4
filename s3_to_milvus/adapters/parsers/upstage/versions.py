"""Which dated model answers where an alias was asked for: an alias moves without a word."""

import re
import threading
import time
from collections.abc import Callable

import structlog

from s3_to_milvus.ports import Tickets

__all__ = ["Versions"]

log = structlog.get_logger(__name__)
_REFRESH_S = 86_400.0  # tickets are forgotten after a month
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")  # nothing else that an answer says goes into a log


class Versions:
    """Logs which model reads (``upstage.model``), and warns when it is another one than before.

    The last one is remembered by a ticket, so that a change during a restart is told, too. While both answer in turn,
    as during a roll-out, it is told once.
    """

    def __init__(self, asked: str, tickets: Tickets, now: Callable[[], float] = time.monotonic) -> None:
        self._asked = asked
        self._tickets = tickets
        self._key = f"upstage model {asked}"
        self._now = now
        self._last = ""
        self._kept_at = 0.0
        self._told: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def heard(self, model: object) -> None:
        """An answer named its model."""
        if not isinstance(model, str) or not _NAME.fullmatch(model):
            return
        with self._lock:
            is_same = model == self._last
            if is_same and self._now() < self._kept_at + _REFRESH_S:
                return
            before = self._last or self._tickets.ticket(self._key)
            self._last, self._kept_at = model, self._now()
            self._tickets.put_ticket(self._key, model)
            is_told = is_same or (before or "", model) in self._told or (model, before or "") in self._told
            self._told.add((before or "", model))
        if is_told:
            return
        if before is None or before == model:
            log.info("upstage.model", asked=self._asked, model=model)
        else:
            log.warning("upstage.model_changed", asked=self._asked, before=before, model=model)
