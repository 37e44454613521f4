"""Every service that the library apprise knows as the journal: Teams, Telegram, Discord, mail and over a hundred more.

https://github.com/caronc/apprise. It is an extra, and is loaded where it is used.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from s3_to_milvus.adapters.chat import ChatLines, ChatMode
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from apprise import Apprise

__all__ = ["AppriseJournal"]

_INSTALL = "pip install 's3-to-milvus[apprise]'"
_HINT = (
    "Check S2M_JOURNAL__APPRISE__URL_SECRETS; `apprise -vv -b test ADDRESS` shows what the receiver says, and "
    "https://github.com/caronc/apprise how an address is written."
)
_TITLE = "s3-to-milvus"
_TEXT_LENGTH = 3_500
_SHORTEST = 40
_SILENT = logging.CRITICAL + 1  # the library would log addresses, which are secrets


class AppriseJournal:
    """Writes lines for ``failures`` (alone), for ``all`` jobs, or one ``summary`` line for each delivery.

    To every address: one that fails gets the entries later, and the others do not get them again from this process. An
    entry whose delivery had no clear end may be seen twice, but none is lost.
    """

    kind = "apprise"

    class Options(BaseModel):
        """``url_secrets``: addresses as apprise writes them (``tgram://…``); who knows one can write there."""

        model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

        url_secrets: tuple[SecretStr, ...] = Field(min_length=1)
        mode: ChatMode = "failures"

        @field_validator("url_secrets", mode="before")
        @classmethod
        def _one_or_many(cls, value: object) -> object:
            return (value,) if isinstance(value, str | SecretStr) else value

    def __init__(self, options: Options) -> None:
        """Raises `ConfigError` where the library is not installed, or does not know an address."""
        self._mode = options.mode
        addresses = [each.get_secret_value() for each in options.url_secrets]
        self._receivers = list(_receivers(addresses, options.mode))

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """See `ports.Journal`. Raises `Unavailable` for whatever goes wrong: the library does not say more."""
        failures = [error for receiver in self._receivers if (error := _failure_of(partial(receiver.tell, entries)))]
        if failures:
            raise Unavailable(" ".join(error.message for error in failures), hint=_HINT)

    def check(self) -> str:
        """As `ObjectStore.check`: the addresses were understood; nothing is sent, so none is asked."""
        return f"finished jobs are sent to {', '.join(each.name for each in self._receivers)} ({self._mode})"


class _Receiver:
    """One service at one address."""

    def __init__(self, sender: "Apprise", name: str, length: int, mode: ChatMode) -> None:
        self.name = name
        self._sender = sender
        self._lines = ChatLines(mode, self._send, length=max(_SHORTEST, min(_TEXT_LENGTH, length)))

    def tell(self, entries: Sequence[JournalEntry]) -> None:
        """Raises `Unavailable`."""
        self._lines.tell(entries)

    def _send(self, text: str) -> None:
        with self._sender.notify(title=_TITLE, body=text, body_format="text") as result:
            if not result:
                raise Unavailable(f"{self.name} did not take the message.")


def _receivers(addresses: Sequence[str], mode: ChatMode) -> Iterator[_Receiver]:
    """Each under the name of its service and its number. An address may be several, with commas between."""
    try:
        from apprise import Apprise, AppriseAsset
    except ImportError as error:
        raise ConfigError("The journal apprise needs a library that is not installed.", hint=_INSTALL) from error
    logging.getLogger("apprise").setLevel(_SILENT)
    # async_mode: one after the other, in this thread. Redirects would carry a secret away.
    asset = AppriseAsset(app_id=_TITLE, async_mode=False, http_redirects=False)
    known = Apprise(asset=asset)
    for number, address in enumerate(addresses, 1):
        if not known.add(address):
            raise ConfigError(f"Address {number}{_schema_in(address)} is none that apprise knows.", hint=_HINT)
    for number, service in enumerate(known, 1):
        sender = Apprise(asset=asset)
        sender.add(service)
        name = f"{service.service_name} (address {number})" if len(known) > 1 else str(service.service_name)
        yield _Receiver(sender, name, service.body_maxlen - len(_TITLE) - 2, mode)


def _schema_in(address: str) -> str:
    """What of an address is no secret."""
    schema = address.partition("://")[0]
    return f" ({schema}://…)" if "://" in address and schema.isalnum() else ""


def _failure_of(work: Callable[[], None]) -> Unavailable | None:
    try:
        work()
    except Unavailable as error:
        return error
    return None
