"""Amazon SQS: notifications of S3 (also by SNS or EventBridge) from a queue, deleted once they are durable."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.domain.quarantine import Decoded, Refused
from s3_to_milvus.errors import ConfigError, RateLimited, S3ToMilvusError, TransientError, Unauthorized, Unavailable

__all__ = ["SqsEvents"]

log = structlog.get_logger(__name__)

_BATCH = 10
_CONNECT_S = 5
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidSecurity",
    "ExpiredToken",
    "AuthFailure",
}
_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "InvalidAddress"}
_THROTTLED = {"Throttling", "ThrottlingException", "RequestThrottled", "OverLimit"}


class SqsEvents:
    """Long polling. A message is deleted after its events are committed, or after it went into quarantine.

    While a batch is taken in, its messages stay invisible to others; where that fails, they come again, and the queue's
    own policy moves them to its dead-letter queue in the end. ``decode`` understands bodies, ``keep`` puts the others
    into quarantine.
    """

    kind = "sqs"

    class Options(BaseModel):
        """``queue_url`` is all that is needed on AWS; credentials come from boto3's own chain unless they are set."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        queue_url: str = ""
        region: str = ""
        endpoint_url: str = ""
        access_key_id: str = ""
        secret_access_key: SecretStr = SecretStr("")
        wait_s: int = Field(default=20, ge=1, le=20)
        visibility_s: int = Field(default=60, ge=2, le=43_200)

    def __init__(
        self,
        options: Options,
        decode: Callable[[object], Decoded],
        keep: Callable[[Sequence[Refused], str], None],
    ) -> None:
        if not options.queue_url:
            raise ConfigError("events.sqs.queue_url is not set.", hint="Set S2M_EVENTS__SQS__QUEUE_URL.")
        self._options = options
        self._decode, self._keep = decode, keep
        self._client: Any = None
        self._lock = threading.Lock()

    def run(self, emit: Callable[[Sequence[ObjectEvent]], None], should_stop: Callable[[], bool]) -> None:
        """See `ports.EventSource`."""
        while not should_stop():
            messages = self._receive(should_stop)
            if messages:
                with self._kept_invisible(messages):
                    taken = self._take(messages, emit)
                self._delete(taken)

    def check(self) -> str:
        """Ask for the queue's attributes."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "RedrivePolicy"]
        answer = self._call("get_queue_attributes", AttributeNames=names)
        found = answer.get("Attributes", {})
        waiting = found.get("ApproximateNumberOfMessages", "?")
        dead = "with a dead-letter queue" if found.get("RedrivePolicy") else "without a dead-letter queue"
        return f"SQS: {waiting} messages wait; {dead}"

    def _take(
        self, messages: list[dict[str, Any]], emit: Callable[[Sequence[ObjectEvent]], None]
    ) -> list[dict[str, Any]]:
        """Those that are durable now: all, or where that failed, those that are taken one by one."""
        found = [(message, self._decode(message.get("Body", ""))) for message in messages]
        try:
            emit([event for _, part in found for event in part.events])
        except TransientError as error:
            found = [(message, part) for message, part in found if _is_taken(part.events, emit)]
            if not found:
                raise
            log.warning("sqs.left", count=len(messages) - len(found), code=error.code, message=error.message)
        for _, part in found:
            self._keep(part.refused, self.kind)
        return [message for message, _ in found]

    def _receive(self, should_stop: Callable[[], bool]) -> list[dict[str, Any]]:
        """Up to ten messages. The wait is taken in pieces of a second, so that a stop need not wait for it."""
        deadline = time.monotonic() + self._options.wait_s
        while not should_stop():
            answer = self._call(
                "receive_message",
                MaxNumberOfMessages=_BATCH,
                WaitTimeSeconds=1,
                VisibilityTimeout=self._options.visibility_s,
            )
            messages: list[dict[str, Any]] = answer.get("Messages", [])
            if messages or time.monotonic() > deadline:
                return messages
        return []

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        """What cannot be deleted now comes again, which does no harm."""
        entries = [{"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]} for number, each in enumerate(messages)]
        self._call("delete_message_batch", Entries=entries)

    @contextmanager
    def _kept_invisible(self, messages: list[dict[str, Any]]) -> Iterator[None]:
        """Extend the time in which nobody else gets these messages, as long as the block lasts."""
        done = threading.Event()
        seconds = self._options.visibility_s

        def extend() -> None:
            while not done.wait(seconds / 2):
                entries = [
                    {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"], "VisibilityTimeout": seconds}
                    for number, each in enumerate(messages)
                ]
                with suppress(S3ToMilvusError):
                    self._call("change_message_visibility_batch", Entries=entries)

        thread = threading.Thread(target=extend, name="s2m-sqs-visibility", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """One request, its failure made ours."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            call = getattr(self._connected(), name)
            found: dict[str, Any] = call(QueueUrl=self._options.queue_url, **arguments)
        except ClientError as exc:
            raise _translated(exc) from exc
        except (BotoCoreError, ValueError) as exc:
            if "redentials" in type(exc).__name__:
                raise Unauthorized("No credentials for SQS were found.") from exc
            raise Unavailable(f"SQS does not answer: {type(exc).__name__}.") from exc
        return found

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config

                given = self._options
                self._client = boto3.session.Session().client(
                    "sqs",
                    region_name=given.region or None,
                    endpoint_url=given.endpoint_url or None,
                    aws_access_key_id=given.access_key_id or None,
                    aws_secret_access_key=given.secret_access_key.get_secret_value() or None,
                    config=Config(
                        connect_timeout=_CONNECT_S,
                        read_timeout=30,
                        retries={"mode": "standard", "total_max_attempts": 1},
                    ),
                )
            return self._client


def _is_taken(events: Sequence[ObjectEvent], emit: Callable[[Sequence[ObjectEvent]], None]) -> bool:
    try:
        emit(events)
    except TransientError:
        return False
    return True


def _translated(error: Any) -> S3ToMilvusError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _DENIED:
        return Unauthorized(f"SQS refuses the credentials ({code}).", hint="Check the key and the policy of the queue.")
    if code in _MISSING:
        return ConfigError("There is no such queue of SQS.", hint="Check S2M_EVENTS__SQS__QUEUE_URL and the region.")
    if code in _THROTTLED:
        return RateLimited(f"SQS asks to slow down ({code}).")
    return Unavailable(f"SQS answered with an error ({code or 'unknown'}).")
