"""A webhook as the journal: entries are posted as signed JSON to an address of yours."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from s3_to_milvus.adapters.posting import Poster, checked_address, readable
from s3_to_milvus.domain.records import JournalEntry

__all__ = ["WebhookJournal"]

_HINT = "Check S2M_JOURNAL__WEBHOOK__URL and S2M_JOURNAL__WEBHOOK__SECRET."


class WebhookJournal:
    """Posts each delivery as one ``{"entries": [...]}``; any answer of 2xx says that all of it was taken.

    The receiver checks ``X-S2M-Signature``: ``v1=`` and the hex HMAC-SHA256, by the secret, of the bytes of
    ``X-S2M-Timestamp``, a dot, and the body; it refuses old timestamps (epoch seconds). An entry may come twice, with
    the same ``id``, ``bucket``, ``key`` and ``started_at``: that is how to know it.
    """

    kind = "webhook"

    class Options(BaseModel):
        """``url`` of the receiver, and the ``secret`` that it shares with us."""

        model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

        url: str
        secret: SecretStr = Field(min_length=1)
        timeout_s: float = Field(default=30.0, gt=0)

        @field_validator("url")
        @classmethod
        def _is_an_address(cls, value: str) -> str:
            return checked_address(value, is_encrypted=False)

    def __init__(self, options: Options, *, now: Callable[[], float] = time.time) -> None:
        self._secret = options.secret.get_secret_value().encode()
        self._now = now
        self._poster = Poster(options.url, options.timeout_s, who="The webhook", hint=_HINT)
        self._sender = threading.Lock()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """See `ports.Journal`."""
        if not entries:
            return
        body = json.dumps({"entries": [_as_json(entry) for entry in entries]}, ensure_ascii=False).encode()
        with self._sender:  # in the order of the calls
            timestamp = str(int(self._now()))
            signature = hmac.new(self._secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
            self._poster.post(body, {"X-S2M-Timestamp": timestamp, "X-S2M-Signature": f"v1={signature}"})

    def check(self) -> str:
        """As `ObjectStore.check`: whether there is anybody; nothing is posted."""
        self._poster.reach()
        return f"finished jobs are posted to {self._poster.host}"


def _as_json(entry: JournalEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "bucket": readable(entry.ref.bucket),
        "key": readable(entry.ref.key),
        "action": entry.action,
        "outcome": entry.outcome,
        "started_at": datetime.fromtimestamp(entry.started_at, UTC).isoformat(timespec="milliseconds"),
        "elapsed_s": round(entry.elapsed_s, 3),
        "message": readable(entry.message),
    }
