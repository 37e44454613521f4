"""Which dated model answers where an alias was asked for: an alias moves without a word."""

import re
import threading

import structlog

from s3_to_milvus.ports import Tickets

__all__ = ["Versions"]

log = structlog.get_logger(__name__)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")  # nothing else that an answer says goes into a log


class Versions:
    """Logs which model reads (``upstage.model``), and warns when it is another one than before.

    The last one is remembered by a ticket, so that a change during a restart is told, too.
    """

    def __init__(self, asked: str, tickets: Tickets) -> None:
        self._asked = asked
        self._tickets = tickets
        self._key = f"upstage model {asked}"
        self._last = ""
        self._lock = threading.Lock()

    def heard(self, model: object) -> None:
        """An answer named its model."""
        if not isinstance(model, str) or not _NAME.fullmatch(model) or model == self._last:
            return
        with self._lock:
            before = self._last or self._tickets.ticket(self._key)
            if model == self._last:
                return
            self._last = model
            self._tickets.put_ticket(self._key, model)
        if before is None or before == model:
            log.info("upstage.model", asked=self._asked, model=model)
        else:
            log.warning("upstage.model_changed", asked=self._asked, before=before, model=model)
