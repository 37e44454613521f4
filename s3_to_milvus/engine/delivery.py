"""Takes finished jobs from the outbox to the journal: in order, again after a failure, past what it refuses."""

from collections.abc import Callable, Sequence

from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.engine.observe import log
from s3_to_milvus.errors import PermanentError, S3ToMilvusError
from s3_to_milvus.ports import Clock, Journal, Ledger

__all__ = ["Delivery"]

_BATCH = 100
_IDLE_S = 1.0
_LATER_S = 30.0
_PARKED_S = 600.0
_PATIENCE = 3


class Delivery:
    """One thread at a time. ``warn`` is told what people should know, and an empty text once all is well.

    A journal that fails is asked again after half a minute, or when it said, and meanwhile nothing of the outbox moves:
    so the order stays. One that refuses what it is given (`PermanentError`) gets it one by one: those it refuses are
    parked for ten minutes, and hold no other. Several refused in a row look like a journal that takes nothing: the rest
    of them waits too, but not so long, so that the next time it is tried without them.
    """

    def __init__(self, ledger: Ledger, clock: Clock, journal: Journal, warn: Callable[[str], None]) -> None:
        self._ledger, self._clock, self._journal, self._warn = ledger, clock, journal, warn
        self._parked: dict[int, str] = {}
        self._trouble = ""
        self._held_from = self._held_until = 0.0

    def step(self) -> float:
        """Deliver what is due; the seconds until the next step."""
        if wait_s := self._wait_s():
            return wait_s
        due: Sequence[JournalEntry] = self._ledger.outbox(self._clock.now(), _BATCH)
        if not due:
            return _IDLE_S
        self._deliver([entry for entry in due if entry.id not in self._parked] or due)
        self._tell()
        return self._wait_s()

    def _wait_s(self) -> float:
        """How long the journal is left alone yet. A clock that was set back ends it."""
        now = self._clock.now()
        return self._held_until - now if self._held_from <= now < self._held_until else 0.0

    def _deliver(self, entries: Sequence[JournalEntry]) -> None:
        in_a_row = 0
        while error := self._failure_of(entries):
            if isinstance(error, PermanentError):
                if in_a_row == _PATIENCE:
                    self._failed(entries, error)
                    self._ledger.outbox_later([entry.id for entry in entries], self._clock.now() + _LATER_S)
                    return
                entries, is_first, error = self._past_refused(entries)
                in_a_row = in_a_row + 1 if is_first else 1
                if error is None:
                    continue
            self._failed(entries, error)
            self._hold(error)
            return

    def _past_refused(self, entries: Sequence[JournalEntry]) -> tuple[Sequence[JournalEntry], bool, Exception | None]:
        """Deliver one by one until one is refused, and park it.

        Those after it, whether none came before it, and what else went wrong: those from there on.
        """
        for number, entry in enumerate(entries):
            error = self._failure_of([entry])
            if isinstance(error, PermanentError):
                self._park(entry, error)
                return entries[number + 1 :], number == 0, None
            if error is not None:
                return entries[number:], False, error
        return [], False, None

    def _failure_of(self, entries: Sequence[JournalEntry]) -> Exception | None:
        """None: they are written, and the ledger has forgotten them."""
        if not entries:
            return None
        try:
            self._journal.deliver(entries)
        except Exception as error:  # noqa: BLE001 - a journal never holds the mirror up
            return error
        ids = [entry.id for entry in entries]
        self._ledger.outbox_done(ids)
        self._trouble = ""
        for each in ids:
            self._parked.pop(each, None)
        return None

    def _park(self, entry: JournalEntry, error: PermanentError) -> None:
        facts = {"id": entry.id, "bucket": entry.ref.bucket, "key": entry.ref.key}
        log.warning("journal.refused", kind=self._journal.kind, code=error.code, message=error.message, **facts)
        self._parked[entry.id] = _told(error)
        self._ledger.outbox_later([entry.id], self._clock.now() + _PARKED_S)

    def _hold(self, error: Exception) -> None:
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        self._held_from = self._clock.now()
        self._held_until = self._held_from + max(_LATER_S, asked_s)

    def _failed(self, entries: Sequence[JournalEntry], error: Exception) -> None:
        facts = {"code": getattr(error, "code", "defect"), "message": _told(error), "entries": len(entries)}
        log.warning("journal.failed", kind=self._journal.kind, error=type(error).__name__, **facts)
        self._trouble = _told(error)

    def _tell(self) -> None:
        kind, count = self._journal.kind, len(self._parked)
        if self._trouble:
            self._warn(f"The journal {kind} takes nothing just now; what it missed is kept. {self._trouble}")
        elif count:
            jobs = "1 job" if count == 1 else f"{count} jobs"
            self._warn(f"The journal {kind} refuses {jobs}; they are tried again. {next(iter(self._parked.values()))}")
        else:
            self._warn("")


def _told(error: Exception) -> str:
    """What is known to be fit for people; texts of other errors may hold anything."""
    if isinstance(error, S3ToMilvusError):
        return error.told
    return f"Unexpected {type(error).__name__}."
