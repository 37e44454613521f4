"""What tests of the Lambda share: the function, a service that keeps what it is sent, bodies as AWS makes them."""

import hashlib
import importlib.util
import io
import json
import ssl
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote_plus

__all__ = [
    "FUNCTION",
    "KOREAN",
    "TEST_MESSAGE",
    "Received",
    "ReceivingService",
    "bridge_event",
    "in_sns",
    "load_function",
    "receiving",
    "record",
    "sqs_batch",
    "text",
    "wanted_signature",
    "zipped_function",
]

FUNCTION = Path(__file__).resolve().parents[2] / "deploy" / "lambda" / "ai_s3_to_fastapi.py"
KOREAN = "한글 폴더/a+b (1).txt"
TEST_MESSAGE = '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "docs"}'


def load_function() -> ModuleType:
    """The module of the Lambda, fresh; nothing is left in its folder, all of which is uploaded."""
    spec = importlib.util.spec_from_file_location("ai_s3_to_fastapi", FUNCTION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = kept
    return module


def zipped_function() -> bytes:
    """The function as it is uploaded."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(FUNCTION, FUNCTION.name)
    return made.getvalue()


@dataclass(frozen=True)
class Received:
    """One request; names of headers in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


class ReceivingService(ThreadingHTTPServer):
    """Answers with ``statuses`` in turn, then with 202, after ``delay_s``."""

    daemon_threads = True
    scheme = "http"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.connections = 0
        self.delay_s = 0.0
        self.gone = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Silent: clients of these tests hang up as they please."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ReceivingService

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.path, headers, body))
        status = self.server.statuses.pop(0) if self.server.statuses else 202
        self.server.gone.wait(self.server.delay_s)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[ReceivingService]:
    """A running service; with a context it speaks HTTPS."""
    server = ReceivingService()
    if context is not None:
        server.scheme = "https"
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


def text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def record(key: str, name: str = "ObjectCreated:Put", source: str = "aws:s3") -> dict[str, Any]:
    """A record of S3 for a key as it is: it is encoded here, except as Ceph does not."""
    encoded = key if source == "ceph:s3" else quote_plus(key, safe="/")
    return {
        "eventVersion": "2.6",
        "eventSource": source,
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T00:54:57.328Z",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "docs", "arn": "arn:aws:s3:::docs"},
            "object": {"key": encoded, "size": 1, "eTag": "c4ca4238", "sequencer": "00000660E7010EF865"},
        },
    }


def bridge_event(key: str, kind: str = "Object Created") -> dict[str, Any]:
    return {
        "version": "0",
        "id": "2ded0e1b-98fb-423f-95c9-f4ae41fc4cad",
        "source": "aws.s3",
        "detail-type": kind,
        "resources": ["arn:aws:s3:::docs"],
        "detail": {"version": "0", "bucket": {"name": "docs"}, "object": {"key": key, "sequencer": "00000660E7"}},
    }


def in_sns(body: str) -> dict[str, Any]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:topic", "Message": body}


def sqs_batch(*bodies: str) -> dict[str, Any]:
    """What Lambda is given for messages ``m0``, ``m1``, …"""
    common = {
        "receiptHandle": "handle",
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue",
        "awsRegion": "us-east-1",
    }
    return {"Records": [{"messageId": f"m{number}", "body": body, **common} for number, body in enumerate(bodies)]}


def wanted_signature(secret: str, request: Received) -> str:
    """The signature by RFC 2104, without the module that the function uses."""
    key = secret.encode()
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    message = request.headers["x-s2m-timestamp"].encode() + b"." + request.body
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
    return "v1=" + hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()
