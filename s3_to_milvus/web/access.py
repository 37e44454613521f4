"""Who is asking, and may they: the service's own token, API keys, signed events.

A service that only this machine can reach lets everybody on it do everything but handle keys and make backups; every
other asks for a key, unless the settings say that something in front of it does that already (``auth.mode``). What a
proxy on this machine passes on comes from elsewhere (`callers.why_not_local`).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from s3_to_milvus.domain.access import Role, digest_of
from s3_to_milvus.engine.observe import log
from s3_to_milvus.ports import Ledger
from s3_to_milvus.settings import AuthSettings
from s3_to_milvus.web.callers import why_not_local

__all__ = ["CHALLENGE", "EVENT_PATHS", "SNS_DOOR", "Access", "needed_role", "role_in"]

EVENT_PATHS = ("/process_s3_event", "/events")
SNS_DOOR = ("POST", "/events")
CHALLENGE = {"WWW-Authenticate": 'Basic realm="s3-to-milvus", charset="UTF-8"'}
_OPEN_PATHS = ("/healthz", "/readyz")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ASKING = ("/api/v1/search", "/upload_parse_document")
_ADMIN_PATHS = ("/api/v1/keys", "/api/v1/backup")
_ROLE = "s2m.role"
_FRESH_S = 5.0
_SCHEME = b"v1="
_PROXY_SEEN = "Requests come from other machines, as through a proxy: whoever sends them is asked for a key."
_PROXY_HINT = (
    "`s3-to-milvus keys add NAME --role viewer` makes one. Set S2M_AUTH__MODE=required, so that all are asked."
)


def needed_role(method: str, path: str) -> Role | None:
    """What a request needs; None: nothing."""
    path = path.rstrip("/") or "/"
    if path in _OPEN_PATHS or path.startswith("/static/"):
        return None
    if path in EVENT_PATHS:
        return Role.EVENTS
    if any(path == each or path.startswith(f"{each}/") for each in _ADMIN_PATHS):
        return Role.ADMIN
    return Role.VIEWER if method in _READING or path in _ASKING else Role.OPERATOR


def role_in(scope: Mapping[str, Any]) -> Role | None:
    """The role that the gate found for this request."""
    found: Role | None = scope.get(_ROLE)
    return found


class Access:
    """``is_public``: others than this machine can reach the service, as far as it knows."""

    def __init__(self, settings: AuthSettings, ledger: Ledger, token: str, *, is_public: bool) -> None:
        self._settings = settings
        self._ledger = ledger
        self._token = digest_of(token)
        self._is_public = is_public
        self._secrets = tuple(each.get_secret_value().encode() for each in settings.event_secrets)
        self._lock = threading.Lock()
        self._roles: dict[str, Role] = {}
        self._read_at = -_FRESH_S
        self._has_seen_proxy = False

    @property
    def is_open(self) -> bool:
        """Whether nobody is ever asked for a key."""
        return self._settings.mode == "none"

    @property
    def asks_everybody(self) -> bool:
        """Whether nobody may use the service without a key."""
        return self._settings.mode == "required" or (self._settings.mode == "auto" and self._is_public)

    def role_of(self, scope: MutableMapping[str, Any], headers: Mapping[bytes, str]) -> Role | None:
        """The caller's role, kept in the scope; None: nobody we know."""
        role = self._known(headers)
        if role is None and not self._is_guarded(scope, headers):
            role = Role.OPERATOR
        scope[_ROLE] = role
        return role

    def is_signed(self, headers: Mapping[bytes, str]) -> bool:
        """Whether a request claims to be a signed event; the door checks the signature once it has the body."""
        return bool(self._secrets) and b"x-s2m-signature" in headers

    def is_by_sns(self, headers: Mapping[bytes, str]) -> bool:
        """Whether a request claims to be a message of SNS, which counts at `SNS_DOOR` where SNS signed its body."""
        return bool(self._settings.sns_topics) and b"x-amz-sns-message-type" in headers

    def is_genuine(self, body: bytes, headers: Mapping[bytes, str]) -> bool:
        """Whether the signature is one of a secret of ours, and new enough."""
        stamp, signature = headers.get(b"x-s2m-timestamp", ""), headers.get(b"x-s2m-signature", "").encode()
        if not stamp.isdecimal() or len(stamp) > 12 or not signature.startswith(_SCHEME):
            return False
        if abs(time.time() - int(stamp)) > self._settings.replay_window_s:
            return False
        signed = stamp.encode() + b"." + body
        wanted = (hmac.new(secret, signed, hashlib.sha256).hexdigest().encode() for secret in self._secrets)
        return any(hmac.compare_digest(each, signature.removeprefix(_SCHEME)) for each in wanted)

    def forget(self) -> None:
        """Keys have changed."""
        self._read_at = -_FRESH_S

    def _is_guarded(self, scope: Mapping[str, Any], headers: Mapping[bytes, str]) -> bool:
        if self._settings.mode != "auto":
            return self._settings.mode == "required"
        if self._is_public:
            return True
        reason = why_not_local(scope, headers)
        if reason and not self._has_seen_proxy:
            self._has_seen_proxy = True
            log.warning("access.proxy_seen", sign=reason, message=_PROXY_SEEN, hint=_PROXY_HINT)
        return bool(reason)

    def _known(self, headers: Mapping[bytes, str]) -> Role | None:
        key = _key_in(headers)
        if not key:
            return None
        digest = digest_of(key)
        if secrets.compare_digest(digest, self._token):
            return Role.ADMIN
        return self._keys().get(digest)

    def _keys(self) -> dict[str, Role]:
        """Digests of all keys; read again every few seconds, since other processes may change them."""
        with self._lock:
            if time.monotonic() - self._read_at >= _FRESH_S:
                self._roles = {key.digest: key.role for key in self._ledger.access_keys()}
                self._read_at = time.monotonic()
            return self._roles


def _key_in(headers: Mapping[bytes, str]) -> str:
    """The key of a request: as bearer, in a header of its own, or as the password of a browser's prompt."""
    scheme, _, value = headers.get(b"authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return headers.get(b"x-api-key", "")
