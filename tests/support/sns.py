"""What signs as SNS does: keys, certificates and messages of a topic."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

__all__ = ["CERTIFICATE", "TOPIC", "Signer", "certificate", "confirmation", "notification", "sent_at"]

TOPIC = "arn:aws:sns:ap-northeast-2:123456789012:bucket-events"
CERTIFICATE = "https://sns.ap-northeast-2.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem"
_SUBSCRIBE = "https://sns.ap-northeast-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn=x&Token=t"
_DAY = timedelta(days=1)


def sent_at(when: datetime) -> str:
    """A time as SNS writes it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def notification(message: str, **more: Any) -> dict[str, Any]:
    """A notification that nobody signed yet; ``Subject=…`` for one that has a subject."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": sent_at(datetime.now(UTC)),
        "UnsubscribeURL": "https://sns.ap-northeast-2.amazonaws.com/?Action=Unsubscribe",
        **more,
    }


def confirmation(kind: str = "SubscriptionConfirmation", **more: Any) -> dict[str, Any]:
    """What a topic asks when it is subscribed or unsubscribed; nobody signed it yet."""
    asked = {"SubscribeURL": _SUBSCRIBE, "Token": "2336412f37f"}
    return {**notification("You have chosen to subscribe.", **asked), "Type": kind, **more}


@cache
def _key(number: int) -> rsa.RSAPrivateKey:
    """Keys take a while to be made."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)  # the number only tells keys apart


class Signer:
    """Signs with a key of its own for each ``number``; `pem` is the certificate of that key."""

    def __init__(self, number: int = 0) -> None:
        self.key = _key(number)
        self.pem = certificate(self.key)

    def signed(self, body: dict[str, Any], version: str = "2") -> dict[str, Any]:
        """The message with its signature, by the rules of the documentation written out once more."""
        if body["Type"] == "Notification":
            names: Sequence[str] = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        else:
            names = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
        text = "".join(f"{name}\n{body[name]}\n" for name in names if name in body)
        algorithm: hashes.HashAlgorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        signed = {"SignatureVersion": version, "Signature": base64.b64encode(signature).decode()}
        return {**body, "SigningCertURL": CERTIFICATE, **signed}

    def sealed(self, body: dict[str, Any], version: str = "2") -> bytes:
        """As `signed`, as it is posted."""
        return json.dumps(self.signed(body, version)).encode()


def certificate(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    begins_in: timedelta = -_DAY,
    ends_in: timedelta = 3_650 * _DAY,
) -> bytes:
    """A certificate that its own key signed, in PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now + begins_in).not_valid_after(now + ends_in)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
