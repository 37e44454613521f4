"""Journal entries as lines of a chat: as few messages as they fit into, and none twice by this process."""

import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from s3_to_milvus.adapters.posting import readable
from s3_to_milvus.domain.records import JournalEntry

__all__ = ["ChatLines", "ChatMode"]

ChatMode = Literal["failures", "all", "summary"]
"""A line for each job that failed, for each job, or one line for each delivery."""

_MESSAGE_LENGTH = 300
_REMEMBERED = 20_000
_ORDER = ("indexed", "removed", "empty", "failed")


class ChatLines:
    """One receiver; threads may share it.

    ``send`` sends one message, or raises; ``length``: of the text of a message, in characters; ``escaped`` makes a line
    of what the receiver would take for markup. A chat cannot be asked what it holds: an entry whose sending had no
    clear end may be seen twice, but none is lost.
    """

    def __init__(
        self,
        mode: ChatMode,
        send: Callable[[str], None],
        *,
        length: int,
        escaped: Callable[[str], str] = str,
    ) -> None:
        self._mode, self._send, self._length, self._escaped = mode, send, length, escaped
        self._sender = threading.Lock()
        self._told: OrderedDict[tuple[int, str, str, float], None] = OrderedDict()

    def tell(self, entries: Sequence[JournalEntry]) -> None:
        """Send what the mode asks for. What was sent before a failure is not sent again."""
        with self._sender:
            for batch, text in self._messages([entry for entry in entries if self._is_told(entry)]):
                self._send(text)
                self._remember(batch)

    def _is_told(self, entry: JournalEntry) -> bool:
        return (self._mode != "failures" or entry.outcome == "failed") and _name(entry) not in self._told

    def _remember(self, entries: Sequence[JournalEntry]) -> None:
        self._told.update(dict.fromkeys(map(_name, entries)))
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    def _messages(self, entries: Sequence[JournalEntry]) -> Iterator[tuple[Sequence[JournalEntry], str]]:
        """Each message with the entries that it tells of."""
        if self._mode == "summary":
            if entries:
                yield entries, self._shown(_summary(entries))
            return
        batch: list[JournalEntry] = []
        text = ""
        for entry in entries:
            line = self._shown(_line(entry))
            if text and len(text) + len(line) + 1 > self._length:
                yield batch, text
                batch, text = [], ""
            batch.append(entry)
            text = f"{text}\n{line}" if text else line
        if batch:
            yield batch, text

    def _shown(self, text: str) -> str:
        """A line of its own, as long as a message may be at most: cut before it is escaped, so through no escape."""
        line = " ".join(readable(text).splitlines())
        if len(shown := self._escaped(line)) <= self._length:
            return shown
        fitting = bisect_right(range(len(line)), self._length - 1, key=lambda end: len(self._escaped(line[:end]))) - 1
        return f"{self._escaped(line[:fitting])}…"


def _line(entry: JournalEntry) -> str:
    name = _visible(f"{entry.ref.bucket}/{entry.ref.key}")
    told = f"{entry.outcome}: {name} ({entry.action}, {entry.elapsed_s:.1f} s, #{entry.id})"
    return f"{told} {_cut(entry.message, _MESSAGE_LENGTH)}".rstrip()


def _summary(entries: Sequence[JournalEntry]) -> str:
    counts = Counter(entry.outcome for entry in entries)
    names = [*_ORDER, *sorted(set(counts) - set(_ORDER))]
    told = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    return f"{len(entries)} job{'' if len(entries) == 1 else 's'}: {told}"


def _visible(name: str) -> str:
    """A name with line breaks and the like as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _name(entry: JournalEntry) -> tuple[int, str, str, float]:
    return entry.id, entry.ref.bucket, entry.ref.key, entry.started_at
