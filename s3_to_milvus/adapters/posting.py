"""JSON posted to an address of the settings: no redirect is followed, certificates are verified, failures in our words.

Nothing that the receiver says is repeated, and nothing of the address but its host: the rest may be a secret.
"""

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from s3_to_milvus.adapters.pacing import retry_after_s
from s3_to_milvus.errors import ConfigError, RateLimited, Rejected, S3ToMilvusError, Unauthorized, Unavailable

if TYPE_CHECKING:
    import urllib3

__all__ = ["Poster", "checked_address", "readable"]

_LOCAL = ("127.0.0.1", "::1", "localhost")


def readable(text: str) -> str:
    """``text`` as every reader of JSON can hold it: bytes of names that are no valid text as ``\\udc80``."""
    return text.encode("utf-8", "backslashreplace").decode()


def checked_address(url: str, *, is_encrypted: bool) -> str:
    """The address, where it is one. ``is_encrypted``: https is needed, but on this machine. Raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address that begins with https:// is expected")
    if is_encrypted and parts.scheme != "https" and parts.hostname not in _LOCAL:
        raise ValueError("https:// is needed: the address itself is the secret")
    return url


class Poster:
    """One receiver. ``who`` names it in messages, ``hint`` says which setting holds its address."""

    def __init__(self, url: str, timeout_s: float, *, who: str, hint: str) -> None:
        self._url, self._timeout_s, self._who, self._hint = url, timeout_s, who, hint
        self._pool: urllib3.PoolManager | None = None

    @property
    def host(self) -> str:
        """Where it goes."""
        return urlsplit(self._url).hostname or ""

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send it once. It was taken when this returns; after `Unavailable` it may have been."""
        sent = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        status, wait_s = self._asked("POST", body=body, headers=sent)
        if not 200 <= status < 300:
            raise self._refused(status, wait_s)

    def reach(self) -> None:
        """Ask for nothing: any answer shows that the receiver is there. Raises `Unavailable`."""
        self._asked("HEAD")

    def _asked(self, method: str, **more: Any) -> tuple[int, float | None]:
        from urllib3.exceptions import HTTPError

        try:
            answer = self._connected().request(method, self._url, retries=False, redirect=False, **more)
        except HTTPError as exc:
            # from None: the text of the cause holds the whole address
            raise Unavailable(f"{self._who} does not answer at {self.host}: {type(exc).__name__}.") from None
        return answer.status, retry_after_s(answer.headers.get("Retry-After", ""))

    def _refused(self, status: int, wait_s: float | None) -> S3ToMilvusError:
        if status == 429:
            return RateLimited(f"{self._who} asks to slow down.", retry_after_s=wait_s)
        if status in (401, 403):
            return Unauthorized(f"{self._who} refuses what is sent ({status}).", hint=self._hint)
        if status in (404, 405, 410):
            return ConfigError(f"{self._who} takes nothing at this address ({status}).", hint=self._hint)
        if status < 400:
            return ConfigError(f"{self._who} answers {status}; redirects are not followed.", hint=self._hint)
        if status >= 500 or status in (408, 409, 425):
            return Unavailable(f"{self._who} answered {status}.", retry_after_s=wait_s)
        return Rejected(f"{self._who} refuses the entries ({status}).", hint=self._hint)

    def _connected(self) -> "urllib3.PoolManager":
        if self._pool is None:
            import urllib3

            timeout = urllib3.Timeout(connect=min(10.0, self._timeout_s), read=self._timeout_s)
            self._pool = urllib3.PoolManager(timeout=timeout, cert_reqs="CERT_REQUIRED")
            weakref.finalize(self, self._pool.clear)
        return self._pool
