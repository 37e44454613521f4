"""Hands notifications of S3 over to the service: an AWS Lambda in one file, with the standard library only.

Behind SQS every message is forwarded for itself and only those that fail are reported (`ReportBatchItemFailures`);
everything else (S3, SNS, EventBridge) raises on failure, so that AWS repeats it and dead-letters it in the end. A
notification only says which object to look at, so repeating one is harmless and losing one is not: all that is not
answered by 2xx is a failure.

Environment:
    S2M_URL             where the service is: ``https://search.example.com``. Needed.
    S2M_SECRET          signs the body: ``X-S2M-Timestamp``, ``X-S2M-Signature: v1=<hmac-sha256 of "timestamp.body">``.
    S2M_SECRET_ARN      the same from Secrets Manager: the text itself, or JSON with one value.
    S2M_API_KEY         sent as ``Authorization: Bearer``, over HTTPS only.
    S2M_FORMAT          ``raw`` (default): the notification as it came, to ``/events``; ``original``: for each object
                        ``{bucket_name, file_key, event_type}``, to ``/process_s3_event``: ``delete`` for what is
                        gone, ``upload`` for all else that is worth a look, such as a restored object.
    S2M_PATH            another path than that.
    S2M_PREFIX_FILTER   only keys below a folder below this prefix: ``Milvus/`` takes ``Milvus/rules/a.pdf``.
    S2M_TIMEOUT_S       how long the service may take for one answer (10).
    S2M_MAX_BODY_BYTES  the largest body that is sent (1048576, as much as the service takes).
"""

import hashlib
import hmac
import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus, urlsplit

__all__ = ["ForwardingError", "lambda_handler"]

_PATHS = {"raw": "/events", "original": "/process_s3_event"}
# Families of events, and single ones. What is restored can be read again; what was lost must be looked at.
_TYPES = {
    "ObjectCreated": "upload",
    "ObjectRemoved": "delete",
    "LifecycleExpiration": "delete",
    "ObjectRestore:Completed": "upload",
    "ReducedRedundancyLostObject": "upload",
}
_BRIDGE_TYPES = {"Object Created": "upload", "Object Deleted": "delete", "Object Restore Completed": "upload"}
# Reasons that lie in one body: the service may well take the next.
_OF_ONE_BODY = ("status", "too_large")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MAX_WRAPPINGS = 8
_MAX_ANSWER_BYTES = 65_536
_SECRET_FRESH_S = 300.0
# Kept back of the function's time, to report what was not sent.
_RESERVE_S = 2.0
# A service that has less time than this is not asked.
_LEAST_S = 0.5


class ForwardingError(Exception):
    """The service did not take a notification. Says why, and nothing of what was in it."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason if status is None else f"{reason} {status}")
        self.reason = reason
        self.status = status


def lambda_handler(event: Any, context: Any) -> dict[str, Any]:
    """Forward a batch of SQS, or one notification of S3, SNS or EventBridge.

    Raises `ForwardingError` for a notification that is not taken, except behind SQS, where the answer names it.
    """
    began = time.monotonic()
    with _Service(_Options(os.environ), _time_left(context)) as service:
        if _is_batch(event):
            failed = [str(each["messageId"]) for each in event["Records"] if not _is_taken(service, each)]
            _say("batch.done", messages=len(event["Records"]), failed=len(failed), duration_ms=_ms_since(began))
            return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}
        try:
            sent = _forward(service, json.dumps(event, ensure_ascii=False, separators=(",", ":")))
        except ForwardingError as error:
            _say("notification.failed", reason=error.reason, status=error.status, duration_ms=_ms_since(began))
            raise
        _say("notification.done", requests=sent, duration_ms=_ms_since(began))
        return {"requests": sent}


def _is_batch(event: Any) -> bool:
    records = event.get("Records") if isinstance(event, dict) else None
    return bool(records) and isinstance(records, list) and records[0].get("eventSource") == "aws:sqs"


def _is_taken(service: "_Service", message: Mapping[str, Any]) -> bool:
    """Whether the service has one message of a batch. Whatever goes wrong with it, the others go on."""
    try:
        _forward(service, str(message["body"]))
    except ForwardingError as error:
        _say("message.failed", message=message["messageId"], reason=error.reason, status=error.status)
        return False
    except Exception as error:  # noqa: BLE001 - one odd message must not make AWS repeat the whole batch
        _say("message.failed", message=message["messageId"], reason="defect", error=type(error).__name__)
        return False
    return True


def _forward(service: "_Service", body: str) -> int:
    """Send a body as the options say; how many requests that took.

    Raises `ForwardingError` for what is not taken, after all that is: nothing good waits for what is bad. AWS repeats
    the whole body then, the good of it too.
    """
    options, error = service.options, None
    if options.format == "original":
        bodies, error = _original(body, options.prefix)
    else:
        bodies = _raw(body, options.prefix)
    for each in bodies:
        try:
            service.post(each.encode("utf-8", "surrogatepass"))
        except ForwardingError as refused:
            if refused.reason not in _OF_ONE_BODY:
                raise
            error = error or refused
    if error is not None:
        raise error
    return len(bodies)


def _raw(body: str, prefix: str) -> list[str]:
    """The body as it came; with a prefix, what is left of it. What is no notification of objects is left as it is."""
    if not prefix:
        return [body]
    inner = _opened(body)
    if isinstance(inner, dict) and isinstance(inner.get("Records"), list):
        kept = [record for record in inner["Records"] if _is_wanted(_keys(record), prefix)]
        if len(kept) == len(inner["Records"]):
            return [body]
        return [json.dumps({**inner, "Records": kept}, ensure_ascii=False)] if kept else []
    if isinstance(inner, dict) and "detail" in inner:
        return [body] if _is_wanted(_keys(inner), prefix) else []
    return [body]


def _original(body: str, prefix: str) -> tuple[list[str], ForwardingError | None]:
    """Bodies of the original kind, and what is wrong with records that can't be said so.

    Raises `ForwardingError` where it is no notification at all.
    """
    inner = _opened(body)
    if not isinstance(inner, dict):
        raise ForwardingError("no_notification")
    if inner.get("Event") == "s3:TestEvent":
        return [], None
    records = inner.get("Records", [inner] if "detail" in inner else None)
    if not isinstance(records, list):
        raise ForwardingError("no_notification")
    bodies, error = [], None
    for record in records:
        try:
            bodies += _originals(record, prefix)
        except ForwardingError as refused:
            error = error or refused
    return bodies, error


def _originals(record: Any, prefix: str) -> list[str]:
    """A body for each key that a record may mean; [] where nothing happened that counts. Raises `ForwardingError`."""
    try:
        if "detail" in record:
            bucket, kind = record["detail"]["bucket"]["name"], _BRIDGE_TYPES.get(record["detail-type"], "")
        else:
            name = str(record["eventName"]).removeprefix("s3:")
            bucket, kind = record["s3"]["bucket"]["name"], _TYPES.get(name) or _TYPES.get(name.partition(":")[0], "")
    except (KeyError, TypeError) as error:
        raise ForwardingError("no_notification") from error
    keys = _keys(record)
    if not keys:
        raise ForwardingError("no_notification")
    return [
        json.dumps({"bucket_name": str(bucket), "file_key": key, "event_type": kind}, ensure_ascii=False)
        for key in keys
        if kind and not key.endswith("/") and _is_wanted([key], prefix)
    ]


def _keys(record: Any) -> list[str]:
    """What the key may be; [] where there is none.

    S3 encodes keys as in a form, EventBridge and Ceph do not; of other servers we do not know.
    """
    try:
        if "detail" in record:
            return [str(record["detail"]["object"]["key"])]
        key, source = str(record["s3"]["object"]["key"]), record.get("eventSource")
    except (KeyError, TypeError):
        return []
    if source == "ceph:s3":
        return [key]
    decoded = unquote_plus(key)
    return [decoded] if source in ("aws:s3", "minio:s3") else list(dict.fromkeys((key, decoded)))


def _is_wanted(keys: list[str], prefix: str) -> bool:
    """Whether a key lies below a folder below the prefix. A record without a key is the service's to judge."""
    if not prefix or not keys:
        return True
    return any(key.startswith(prefix) and key[len(prefix) :].find("/") > 0 for key in keys)


def _opened(body: str) -> Any:
    """What a body holds once SNS (or a text within a text) is unwrapped; None for what is no JSON."""
    inner: Any = body
    for _ in range(_MAX_WRAPPINGS):
        if isinstance(inner, str):
            try:
                inner = json.loads(inner)
            except (ValueError, RecursionError):
                return None
        elif isinstance(inner, dict) and isinstance(inner.get("Message"), str) and "TopicArn" in inner:
            inner = inner["Message"]
        elif _is_direct_sns(inner):
            inner = inner["Records"][0]["Sns"]["Message"]
        else:
            return inner
    return None


def _is_direct_sns(body: Any) -> bool:
    """SNS gives a Lambda one record at a time."""
    records = body.get("Records") if isinstance(body, dict) else None
    return isinstance(records, list) and len(records) == 1 and isinstance(records[0], dict) and "Sns" in records[0]


class _Options:
    """What the environment says. Raises `ValueError` for what can't be."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        given = environment.get
        self.format = given("S2M_FORMAT") or "raw"
        if self.format not in _PATHS:
            raise ValueError("S2M_FORMAT is raw or original.")
        url = urlsplit(given("S2M_URL") or "")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("S2M_URL must be set: https://search.example.com")
        self.is_https, self.host = url.scheme == "https", url.hostname
        self.port = url.port or (443 if self.is_https else 80)
        self.path = url.path.rstrip("/") + "/" + (given("S2M_PATH") or _PATHS[self.format]).lstrip("/")
        self.secret, self.secret_arn = given("S2M_SECRET") or "", given("S2M_SECRET_ARN") or ""
        self.api_key = given("S2M_API_KEY") or ""
        if self.api_key and not self.is_https and self.host not in _LOOPBACK:
            raise ValueError("S2M_API_KEY is sent over https only; S2M_SECRET may be used over http.")
        self.prefix = given("S2M_PREFIX_FILTER") or ""
        self.timeout_s = float(given("S2M_TIMEOUT_S") or 10)
        self.max_body_bytes = int(given("S2M_MAX_BODY_BYTES") or 1 << 20)


class _Service:
    """The service over one connection, for the time of one invocation: a frozen function keeps none open."""

    def __init__(self, options: _Options, time_left_s: Callable[[], float]) -> None:
        self.options = options
        self._time_left_s = time_left_s
        kind = http.client.HTTPSConnection if options.is_https else http.client.HTTPConnection
        self._connection = kind(options.host, options.port, timeout=options.timeout_s)

    def __enter__(self) -> "_Service":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post(self, body: bytes) -> None:
        """Send one body; raises `ForwardingError` where the answer is not 2xx."""
        if len(body) > self.options.max_body_bytes:
            raise ForwardingError("too_large")
        headers = self._headers(body)
        timeout_s = min(self.options.timeout_s, self._time_left_s() - _RESERVE_S)
        if timeout_s < _LEAST_S:
            raise ForwardingError("out_of_time")
        try:
            status = self._status(body, headers, timeout_s)
        except TimeoutError as error:
            self._connection.close()
            raise ForwardingError("timeout") from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ForwardingError(f"unreachable ({type(error).__name__})") from error
        if status in (401, 403):
            _secrets.clear()  # it may have been changed in Secrets Manager since it was read
        if not 200 <= status < 300:
            raise ForwardingError("status", status)

    def _status(self, body: bytes, headers: dict[str, str], timeout_s: float) -> int:
        self._connection.timeout = timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        self._connection.request("POST", self.options.path, body, headers)
        answer = self._connection.getresponse()
        answer.read(_MAX_ANSWER_BYTES)
        if not answer.isclosed():
            self._connection.close()
        return answer.status

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "s3-to-milvus-lambda"}
        if self.options.api_key:
            headers["Authorization"] = f"Bearer {self.options.api_key}"
        secret = self.options.secret or (_secret_of(self.options.secret_arn) if self.options.secret_arn else "")
        if secret:
            stamp = str(int(time.time()))
            signature = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
            headers |= {"X-S2M-Timestamp": stamp, "X-S2M-Signature": f"v1={signature}"}
        return headers


_secrets: dict[str, tuple[float, str]] = {}


def _secret_of(arn: str) -> str:
    """The secret, read anew every few minutes. Raises `ForwardingError`."""
    read_at, secret = _secrets.get(arn, (-_SECRET_FRESH_S, ""))
    if time.monotonic() - read_at < _SECRET_FRESH_S:
        return secret
    try:
        import botocore.session  # costs more than everything else here together

        client: Any = botocore.session.get_session().create_client("secretsmanager")
        found = str(client.get_secret_value(SecretId=arn)["SecretString"])
    except Exception as error:
        raise ForwardingError(f"no_secret ({type(error).__name__})") from error
    secret = _only_value(found)
    _secrets[arn] = (time.monotonic(), secret)
    return secret


def _only_value(text: str) -> str:
    """The console of Secrets Manager makes ``{"name": "value"}`` of a secret."""
    try:
        values = list(json.loads(text).values())
    except (ValueError, AttributeError):
        return text.strip()
    return str(values[0]) if len(values) == 1 else text


def _time_left(context: Any) -> Callable[[], float]:
    """How many seconds AWS leaves this invocation; without end where nobody says."""
    left_ms: Callable[[], float] | None = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: left_ms() / 1000) if left_ms else (lambda: float("inf"))


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _say(event: str, **facts: object) -> None:
    """One line of JSON. Never a key, a body or a secret."""
    kept = {name: value for name, value in facts.items() if value is not None}
    sys.stdout.write(json.dumps({"event": event, **kept}) + "\n")
    sys.stdout.flush()
