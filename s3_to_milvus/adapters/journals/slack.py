"""Slack as the journal: lines in a channel, by an incoming webhook.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: about one message a second, 4,000 characters.
"""

import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from s3_to_milvus.adapters.chat import ChatLines, ChatMode
from s3_to_milvus.adapters.limits import limit_name
from s3_to_milvus.adapters.pacing import Pace
from s3_to_milvus.adapters.posting import Poster, checked_address
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.errors import TransientError
from s3_to_milvus.ports import Limits

__all__ = ["SlackJournal"]

_HINT = "Check S2M_JOURNAL__SLACK__URL_SECRET: the address of the incoming webhook, as Slack shows it."
_TEXT_LENGTH = 3_500


class SlackJournal:
    """Writes lines for ``failures`` (alone), for ``all`` jobs, or one ``summary`` line for each delivery.

    An entry whose delivery had no clear end may be seen twice, but none is lost.
    """

    kind = "slack"

    class Options(BaseModel):
        """``url_secret``: the address of the incoming webhook; who knows it can write to the channel."""

        model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

        url_secret: SecretStr
        mode: ChatMode = "failures"
        messages_per_second: float = Field(default=1.0, gt=0)
        timeout_s: float = Field(default=30.0, gt=0)

        @field_validator("url_secret")
        @classmethod
        def _is_an_address(cls, value: SecretStr) -> SecretStr:
            checked_address(value.get_secret_value(), is_encrypted=True)
            return value

    def __init__(self, options: Options, limits: Limits | None = None) -> None:
        """``limits``: rates that are shared with others; None: this journal keeps its own."""
        self._mode = options.mode
        url = options.url_secret.get_secret_value()
        self._poster = Poster(url, options.timeout_s, who="Slack", hint=_HINT)
        name = limit_name("slack", url, "messages")
        self._pace = Pace(options.messages_per_second * 60, burst_s=3.0, name=name, limits=limits)
        self._lines = ChatLines(options.mode, self._send, length=_TEXT_LENGTH, escaped=_escaped)

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """See `ports.Journal`. What was written before a failure is not written again by this process."""
        self._lines.tell(entries)

    def check(self) -> str:
        """As `ObjectStore.check`: whether Slack is there; nothing is written."""
        self._poster.reach()
        return f"finished jobs are written to Slack ({self._mode})"

    def _send(self, text: str) -> None:
        self._pace.wait(1)
        body = json.dumps({"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False})
        try:
            self._poster.post(body.encode())
        except TransientError as error:
            self._pace.pause(error.retry_after_s)
            raise


def _escaped(line: str) -> str:
    """A line that Slack takes as it is: https://docs.slack.dev/messaging/formatting-message-text#escaping."""
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
