"""Whether SNS signed a message of a topic that we know.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s3_to_milvus.adapters.events.sns.certificates import Certificates, Unproven

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

__all__ = ["SnsMessages"]

# What is signed, in this order.
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_DOMAINS = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}
# A message keeps its time while SNS tries again: for an hour at most (sns-message-delivery-retries), after whatever it
# waited for its turn. The window need not be narrow: an event is only a hint where to look, so that a message that
# comes twice changes nothing. The bound is for messages that leaked long ago.
_OLDEST_S = 6 * 3_600.0
_AHEAD_S = 900.0
_RAW = "Turn off raw message delivery for the subscription: it leaves the signature out."


class SnsMessages:
    """Knows the messages of some topics, by their ARNs; threads may share it. ``now`` in epoch seconds."""

    def __init__(
        self,
        topics: Sequence[str],
        certificates: Certificates | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._topics = frozenset(topics)
        self._certificates = certificates or Certificates()
        self._now = now

    def verified(self, content: bytes) -> bytes:
        """The message with nothing in it but what SNS signed.

        Raises `Unproven` (`Rejected`) for everything else, `Unavailable` where the certificate cannot be had just now.
        """
        body = _body_in(content)
        fields = _signed_fields(body)
        topic = fields["TopicArn"]
        if topic not in self._topics:
            hint = "Name the ARN of the topic in S2M_AUTH__SNS_TOPICS, or send a key."
            raise Unproven("The topic of the message is none that may send without a key.", hint=hint)
        address = _text(body, "SigningCertURL")
        if not _is_certificate_for(topic, address):
            raise Unproven("The message names a certificate that is not of SNS in the region of its topic.")
        self._check_time(fields["Timestamp"])
        signature, algorithm = _signature_of(body)
        self._check(address, signature, algorithm, _string_to_sign(fields))
        return json.dumps(fields).encode()

    def _check_time(self, timestamp: str) -> None:
        try:
            sent = datetime.fromisoformat(timestamp)
        except ValueError as error:
            raise Unproven("The message has no time.") from error
        age_s = self._now() - (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).timestamp()
        if not -_AHEAD_S <= age_s <= _OLDEST_S:
            hint = "Check the clock of this machine."
            raise Unproven(f"The message is older than {_OLDEST_S / 3_600:.0f} hours, or of the future.", hint=hint)

    def _check(self, address: str, signature: bytes, algorithm: "HashAlgorithm", signed: bytes) -> None:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        key = self._certificates.key(address)
        try:
            key.verify(signature, signed, PKCS1v15(), algorithm)
        except InvalidSignature as error:
            raise Unproven("The signature of the message is wrong.") from error
        except UnsupportedAlgorithm as error:
            hint = "Set SignatureVersion 2 for the topic."
            raise Unproven(f"This machine does not check signatures by {algorithm.name}.", hint=hint) from error


def _body_in(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or _SIGNED.get(str(body.get("Type"))) is None:
        raise Unproven("This is no message that SNS signed.", hint=_RAW)
    return body


def _signed_fields(body: dict[str, Any]) -> dict[str, str]:
    """By name, in the order in which they are signed. No line of one may pass for another field."""
    names = _SIGNED[_text(body, "Type")]
    fields = {name: _text(body, name) for name in names if name != "Subject" or body.get(name) is not None}
    if any("\n" in value for name, value in fields.items() if name != "Message"):
        raise Unproven("A field of the message has several lines.")
    return fields


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Unproven(f"The message has no {name}.", hint=_RAW)
    return value


def _is_certificate_for(topic: str, address: str) -> bool:
    """Whether an address is one of SNS itself, in the partition and region of the topic (``arn:aws:sns:region:…``)."""
    _, partition, _, region, *_ = topic.split(":")
    host = re.escape(f"sns.{region}.{_DOMAINS[partition]}")
    return re.fullmatch(rf"https://{host}/[A-Za-z0-9_-]{{1,128}}\.pem", address) is not None


def _signature_of(body: dict[str, Any]) -> tuple[bytes, "HashAlgorithm"]:
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256

    algorithms: dict[str, HashAlgorithm] = {"1": SHA1(), "2": SHA256()}  # noqa: S303 - what SNS signs by default
    algorithm = algorithms.get(_text(body, "SignatureVersion"))
    if algorithm is None:
        raise Unproven("The message is signed in a way that is not known.", hint="Update s3-to-milvus.")
    try:
        return base64.b64decode(_text(body, "Signature"), validate=True), algorithm
    except ValueError as error:
        raise Unproven("The signature of the message cannot be read.") from error


def _string_to_sign(fields: dict[str, str]) -> bytes:
    try:
        return "".join(f"{name}\n{value}\n" for name, value in fields.items()).encode()
    except UnicodeEncodeError as error:
        raise Unproven("The message holds what is no text.") from error
