"""Slack as the journal: lines in a channel, by an incoming webhook.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: about one message a second, 4,000 characters.
"""

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from s3_to_milvus.adapters.pacing import Pace
from s3_to_milvus.adapters.posting import Poster, checked_address, readable
from s3_to_milvus.domain.records import JournalEntry

__all__ = ["SlackJournal"]

_HINT = "Check S2M_JOURNAL__SLACK__URL_SECRET: the address of the incoming webhook, as Slack shows it."
_TEXT_LENGTH = 3_500
_MESSAGE_LENGTH = 300
_REMEMBERED = 20_000
_ORDER = ("indexed", "removed", "empty", "failed")


class SlackJournal:
    """Writes lines for ``failures`` (alone), for ``all`` jobs, or one ``summary`` line for each delivery.

    Slack cannot be asked what it holds: an entry whose delivery had no clear end may be seen twice, but none is lost.
    """

    kind = "slack"

    class Options(BaseModel):
        """``url_secret``: the address of the incoming webhook; who knows it can write to the channel."""

        model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

        url_secret: SecretStr
        mode: Literal["failures", "all", "summary"] = "failures"
        messages_per_second: float = Field(default=1.0, gt=0)
        timeout_s: float = Field(default=30.0, gt=0)

        @field_validator("url_secret")
        @classmethod
        def _is_an_address(cls, value: SecretStr) -> SecretStr:
            checked_address(value.get_secret_value(), is_encrypted=True)
            return value

    def __init__(self, options: Options) -> None:
        self._mode = options.mode
        self._poster = Poster(options.url_secret.get_secret_value(), options.timeout_s, who="Slack", hint=_HINT)
        self._pace = Pace(options.messages_per_second * 60, burst_s=3.0)
        self._sender = threading.Lock()
        self._written: OrderedDict[tuple[int, str, str, float], None] = OrderedDict()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """See `ports.Journal`. What was written before a failure is not written again by this process."""
        with self._sender:
            chosen = [entry for entry in entries if self._is_told(entry)]
            for batch, text in _messages(chosen, is_summary=self._mode == "summary"):
                self._pace.wait(1)
                body = json.dumps({"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False})
                self._poster.post(body.encode())
                self._remember(batch)

    def check(self) -> str:
        """As `ObjectStore.check`: whether Slack is there; nothing is written."""
        self._poster.reach()
        return f"finished jobs are written to Slack ({self._mode})"

    def _is_told(self, entry: JournalEntry) -> bool:
        return (self._mode != "failures" or entry.outcome == "failed") and _name(entry) not in self._written

    def _remember(self, entries: Sequence[JournalEntry]) -> None:
        self._written.update(dict.fromkeys(map(_name, entries)))
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)


def _messages(entries: Sequence[JournalEntry], *, is_summary: bool) -> Iterator[tuple[list[JournalEntry], str]]:
    """As few messages as the lines fit into, each with the entries that it tells of."""
    if is_summary:
        if entries:
            yield list(entries), _summary(entries)
        return
    batch: list[JournalEntry] = []
    text = ""
    for entry in entries:
        line = _line(entry)
        if text and len(text) + len(line) + 1 > _TEXT_LENGTH:
            yield batch, text
            batch, text = [], ""
        batch.append(entry)
        text = f"{text}\n{line}" if text else line
    if batch:
        yield batch, text


def _line(entry: JournalEntry) -> str:
    name = _visible(f"{entry.ref.bucket}/{entry.ref.key}")
    told = f"{entry.outcome}: {name} ({entry.action}, {entry.elapsed_s:.1f} s, #{entry.id})"
    message = entry.message if len(entry.message) <= _MESSAGE_LENGTH else f"{entry.message[: _MESSAGE_LENGTH - 1]}…"
    return _escaped(f"{told} {message}".rstrip())


def _summary(entries: Sequence[JournalEntry]) -> str:
    counts = Counter(entry.outcome for entry in entries)
    names = [*_ORDER, *sorted(set(counts) - set(_ORDER))]
    told = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    return _escaped(f"{len(entries)} job{'' if len(entries) == 1 else 's'}: {told}")


def _visible(name: str) -> str:
    """A name with line breaks and the like as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


def _escaped(text: str) -> str:
    """One line that Slack takes as it is: https://docs.slack.dev/messaging/formatting-message-text#escaping."""
    line = " ".join(readable(text).splitlines())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _name(entry: JournalEntry) -> tuple[int, str, str, float]:
    return entry.id, entry.ref.bucket, entry.ref.key, entry.started_at
