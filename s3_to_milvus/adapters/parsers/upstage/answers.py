"""Answers about files, paid for once: held, remembered by tickets, asked for by one thread at a time."""

import hashlib
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from s3_to_milvus.adapters.parsers.upstage.client import Answer, UpstageClient
from s3_to_milvus.adapters.parsers.upstage.held import HeldAnswers
from s3_to_milvus.adapters.parsers.upstage.refusals import Forgotten, NoSuchAddress, TookTooLong
from s3_to_milvus.errors import DocumentTooLarge, PermanentError, RateLimited, Unavailable, UnreadableDocument
from s3_to_milvus.ports import Tickets

__all__ = ["Answers", "Sent"]

_IN_HAND_S = 2.0  # a worker that waits does nothing else
_DAY_S = 86_400.0
_PAID = "paid"
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Sent:
    """A file to send; ``is_small``: it may be answered at once."""

    name: str
    data: bytes
    fields: Mapping[str, str]
    is_small: bool

    def key(self) -> str:
        """The same for the same bytes and parameters."""
        hashed = hashlib.sha256("\0".join(self.fields.values()).encode())
        hashed.update(self.data)
        return hashed.hexdigest()


@dataclass(frozen=True, slots=True)
class _Ticket:
    """What is remembered of a file. ``request_id``: empty while it is still to be submitted. ``since``: epoch seconds.

    ``is_paid``: its pages are counted.
    """

    request_id: str
    since: float
    is_paid: bool = False

    @classmethod
    def read(cls, text: str, now: float) -> "_Ticket":
        """Of what was written; older ones do not say since when."""
        request_id, *more = text.split()
        since = next((float(word) for word in more if word.replace(".", "", 1).isdigit()), now)
        return cls("" if request_id == _NONE else request_id, since, _PAID in more)

    def written(self) -> str:
        """For `read`."""
        return " ".join([self.request_id or _NONE, f"{self.since:.3f}", *[_PAID] * self.is_paid])


class Answers:
    """A submitted document is asked for after ``poll_s``, then more rarely, at least each ``patience_s``.

    Its worker is given back meanwhile. ``now``: epoch seconds.
    """

    def __init__(
        self,
        client: UpstageClient,
        tickets: Tickets,
        poll_s: float,
        patience_s: float,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._tickets = tickets
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._now = now
        self._sleep = sleep
        self._held = HeldAnswers()
        self._turns: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, sent: Sent) -> tuple[list[Answer], bool]:
        """At once where that may be, else submitted; and whether it is paid by this call.

        Raises `RateLimited` while the service is at work on it.
        """
        key = sent.key()
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:  # copies of a file come together, and whoever comes second finds what the first one paid
            return self._in_turn(key, sent)

    def _in_turn(self, key: str, sent: Sent) -> tuple[list[Answer], bool]:
        if (held := self._held.get(key)) is not None:
            return [(1, 1, held)], False
        ticket = self._ticket(key)
        if ticket is None and sent.is_small:
            try:
                answer = self._client.parse(sent.name, sent.data, sent.fields)
            except (DocumentTooLarge, TookTooLong):
                self._put(key, _Ticket("", self._now()))  # the attempt may be paid: it is not made again
            else:
                self._held.put(key, answer)
                return [(1, 1, answer)], True
        return self._submitted(key, ticket, sent)

    def _submitted(self, key: str, ticket: _Ticket | None, sent: Sent) -> tuple[list[Answer], bool]:
        if ticket is None or not ticket.request_id:
            ticket = self._submit(key, sent)
        found = self._finished(key, ticket)
        is_whole = all(answer is not None for _, _, answer in found)
        if not is_whole and ticket.is_paid and self._age_s(ticket) > _DAY_S:
            # Whoever tries it again so late hopes for the rest; before, something after the parsing failed.
            return self._submitted(key, None, sent)
        # The ticket stays: until the rows stand, a crash would ask for the same document again.
        self._put(key, replace(ticket, is_paid=True))
        return found, not ticket.is_paid

    def _submit(self, key: str, sent: Sent) -> _Ticket:
        try:
            request_id = self._client.submit(sent.name, sent.data, sent.fields)
        except (PermanentError, NoSuchAddress):
            self._tickets.drop_ticket(key)
            raise
        ticket = _Ticket(request_id, self._now())
        self._put(key, ticket)
        return ticket

    def _finished(self, key: str, ticket: _Ticket) -> list[Answer]:
        waited_s = self._age_s(ticket)
        try:
            while (found := self._client.results(ticket.request_id)) is None:
                if waited_s >= min(_IN_HAND_S, self._patience_s):
                    raise self._unfinished(key, ticket)
                pause_s = min(self._poll_s, _IN_HAND_S / 2)
                self._sleep(pause_s)
                waited_s += pause_s
        except (Forgotten, UnreadableDocument):
            self._tickets.drop_ticket(key)
            raise
        return found

    def _unfinished(self, key: str, ticket: _Ticket) -> RateLimited | Unavailable:
        age_s = self._age_s(ticket)
        if age_s > _DAY_S:
            self._tickets.drop_ticket(key)
            return Unavailable("Upstage did not finish the document within 24 hours: it is submitted anew.")
        delay_s = max(self._poll_s, min(self._patience_s, age_s / 4))
        return RateLimited("Upstage is still at work on the document.", retry_after_s=delay_s)

    def _age_s(self, ticket: _Ticket) -> float:
        return max(0.0, self._now() - ticket.since)

    def _ticket(self, key: str) -> _Ticket | None:
        text = self._tickets.ticket(key)
        if not text:
            return None
        ticket = _Ticket.read(text, self._now())
        self._put(key, ticket, text)
        return ticket

    def _put(self, key: str, ticket: _Ticket, known: str = "") -> None:
        if (text := ticket.written()) != known:
            self._tickets.put_ticket(key, text)
