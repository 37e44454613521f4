"""The certificates of SNS: fetched once, so often, so large and so slow at most, and kept while they are valid.

Whoever can reach the door can make us look for one, so what that may cost is bounded.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3_to_milvus.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["Certificates", "Unproven", "fetched"]

_TIMEOUT_S = 10.0
_LARGEST_BYTES = 64 << 10  # one has 2 KB
_KEPT = 16
_MOST_FETCHES, _FETCHES_S = 20, 60.0
_MISSING = (403, 404, 410)


class Unproven(Rejected):
    """Nothing shows that SNS sent this."""

    default_hint = "Without a key, only messages that SNS signed for a topic of S2M_AUTH__SNS_TOPICS are taken."


@dataclass(frozen=True, slots=True)
class _Certificate:
    key: "RSAPublicKey"
    begins_at: float
    ends_at: float

    def is_valid_at(self, now: float) -> bool:
        return self.begins_at <= now <= self.ends_at


class Certificates:
    """Public keys by the address of their certificate; threads may share it. ``now`` in epoch seconds."""

    def __init__(self, fetch: Callable[[str], bytes] | None = None, now: Callable[[], float] = time.time) -> None:
        self._fetch = fetch or fetched
        self._now = now
        self._kept: OrderedDict[str, _Certificate] = OrderedDict()
        self._fetched_at: deque[float] = deque(maxlen=_MOST_FETCHES)
        self._keeping = threading.Lock()
        self._fetching = threading.Lock()

    def key(self, address: str) -> "RSAPublicKey":
        """The key of a certificate that is valid now. Raises `Unproven`, `Unavailable`."""
        found = self._known(address)
        if found is None:
            if not self._fetching.acquire(timeout=_TIMEOUT_S):
                raise Unavailable("Other certificates of SNS are being fetched.")
            try:
                found = self._known(address) or self._new(address)
            finally:
                self._fetching.release()
        return found.key

    def _known(self, address: str) -> _Certificate | None:
        with self._keeping:
            found = self._kept.get(address)
            if found is None or not found.is_valid_at(self._now()):
                return None
            self._kept.move_to_end(address)
            return found

    def _new(self, address: str) -> _Certificate:
        began = time.monotonic()
        if len(self._fetched_at) == _MOST_FETCHES and began - self._fetched_at[0] < _FETCHES_S:
            raise Unavailable("Too many messages of SNS name certificates that nobody knows.")
        self._fetched_at.append(began)
        made = _read(self._fetch(address))
        if not made.is_valid_at(self._now()):
            raise Unproven("The certificate of SNS is not valid now.", hint="Check the clock of this machine.")
        with self._keeping:
            self._kept[address] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def fetched(address: str) -> bytes:
    """What lies at an address; no redirect is followed. Raises `Unavailable`, `Unproven` where nothing does."""
    import httpx

    deadline = time.monotonic() + _TIMEOUT_S
    plain = {"Accept-Encoding": "identity"}
    content = b""
    try:
        with httpx.stream("GET", address, headers=plain, timeout=_TIMEOUT_S, follow_redirects=False) as answer:
            if answer.status_code in _MISSING:
                raise Unproven(f"SNS has no such certificate ({answer.status_code}).")
            if answer.status_code != 200:
                raise Unavailable(f"SNS did not give its certificate ({answer.status_code}).")
            for part in answer.iter_raw():
                content += part
                if len(content) > _LARGEST_BYTES or time.monotonic() > deadline:
                    raise Unavailable("The certificate of SNS is too large, or comes too slowly.")
    except httpx.HTTPError as error:
        raise Unavailable(f"SNS cannot be reached for its certificate: {type(error).__name__}.") from error
    return content


def _read(content: bytes) -> _Certificate:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import load_pem_x509_certificate

    try:
        certificate = load_pem_x509_certificate(content)
        key = certificate.public_key()
    except Exception as error:
        raise Unproven("What lies at the address of the certificate is none.") from error
    if not isinstance(key, RSAPublicKey):
        raise Unproven("The certificate of SNS holds no key of RSA.")
    begins_at, ends_at = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return _Certificate(key, begins_at.timestamp(), ends_at.timestamp())
