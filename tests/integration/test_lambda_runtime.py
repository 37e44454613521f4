"""The Lambda under the client that AWS itself runs Python functions with, over a runtime API of our own.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import until
from tests.support.forwarding import (
    FUNCTION,
    KOREAN,
    TEST_MESSAGE,
    ReceivingService,
    bridge_event,
    receiving,
    record,
    sqs_batch,
    text,
    wanted_signature,
)

ROOT = Path(__file__).resolve().parents[2]
SECRET = "runtime-secret of these tests"
ANSWER_S = 30.0

if importlib.util.find_spec("awslambdaric") is None:
    pytest.skip("awslambdaric is not installed", allow_module_level=True)


@dataclass
class Invocation:
    """An event on its way through the function; ``kind`` becomes response or error."""

    event: Any
    timeout_s: float = 30.0
    name: str = field(default_factory=lambda: str(uuid.uuid4()))
    is_over: threading.Event = field(default_factory=threading.Event)
    kind: str = ""
    answer: Any = None


class RuntimeApi(ThreadingHTTPServer):
    """What a function asks for its next event, and tells its answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.waiting: queue.Queue[Invocation | None] = queue.Queue()
        self.known: dict[str, Invocation] = {}

    def handle_error(self, *_: object) -> None:
        """Silent: the function is ended while it asks."""

    def invoke(self, event: Any, timeout_s: float = 30.0) -> tuple[str, Any]:
        """``response`` or ``error``, and what it says."""
        invocation = Invocation(event, timeout_s)
        self.known[invocation.name] = invocation
        self.waiting.put(invocation)
        assert invocation.is_over.wait(ANSWER_S), "no answer"
        return invocation.kind, invocation.answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RuntimeApi

    def do_GET(self) -> None:
        assert self.path == "/2018-06-01/runtime/invocation/next"
        invocation = self.server.waiting.get()
        if invocation is None:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.name)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + invocation.timeout_s) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:s2m")
        self.send_header("Content-Type", "application/json")
        self._end(json.dumps(invocation.event).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        *_, name, kind = self.path.split("/")
        if invocation := self.server.known.get(name):
            invocation.kind, invocation.answer = kind, json.loads(body)
            invocation.is_over.set()
        self.send_response(202)
        self._end(b"")

    def _end(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def function(log: Path, **environment: str) -> Iterator[RuntimeApi]:
    """The function, started as AWS starts it, and what it is driven by; what it says goes into ``log``."""
    api = RuntimeApi()
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    given = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "s2m",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(FUNCTION.parent),
        "_HANDLER": "ai_s3_to_fastapi.lambda_handler",
        **environment,
    }
    command = [sys.executable, "-m", "awslambdaric", given["_HANDLER"]]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=FUNCTION.parent, env=dict(os.environ) | given, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield api
        finally:
            process.kill()
            api.waiting.put(None)
            api.shutdown()
            api.server_close()
            thread.join()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("function") / "log.txt"


@pytest.fixture(scope="module")
def service() -> Iterator[ReceivingService]:
    with receiving() as service:
        yield service


@pytest.fixture(scope="module")
def api(service: ReceivingService, log: Path) -> Iterator[RuntimeApi]:
    with function(log, S2M_URL=service.url, S2M_SECRET=SECRET, S2M_TIMEOUT_S="5") as api:
        yield api


@pytest.fixture(autouse=True)
def _forgotten(service: ReceivingService) -> None:
    service.statuses, service.delay_s = [], 0.0
    service.received.clear()


def test_cold_and_warm_it_forwards_what_is_signed(api: RuntimeApi, service: ReceivingService) -> None:
    bodies = [text({"Records": [record(KOREAN)]}), text(bridge_event(KOREAN)), TEST_MESSAGE, "no json"]
    for _ in range(2):
        assert api.invoke(sqs_batch(*bodies)) == ("response", {"batchItemFailures": []})
    assert [each.body.decode() for each in service.received] == bodies * 2
    assert api.invoke({"Records": [record(KOREAN)]}) == ("response", {"requests": 1})
    assert api.invoke(bridge_event(KOREAN)) == ("response", {"requests": 1})
    assert service.received[-1].value == bridge_event(KOREAN)
    assert all(each.headers["x-s2m-signature"] == wanted_signature(SECRET, each) for each in service.received)


def test_failures_are_what_aws_repeats(api: RuntimeApi, service: ReceivingService) -> None:
    service.statuses = [503, 202, 401]
    kind, answer = api.invoke(sqs_batch("{}", "{}", "{}"))
    assert (kind, answer) == ("response", {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m2"}]})
    service.statuses = [503]
    kind, answer = api.invoke({"Records": [record(KOREAN)]})
    assert (kind, answer["errorType"], answer["errorMessage"]) == ("error", "ForwardingError", "status 503")
    assert "한글" not in json.dumps(answer, ensure_ascii=False)
    assert api.invoke(sqs_batch("{}")) == ("response", {"batchItemFailures": []}), "it goes on after an error"


def test_it_answers_before_aws_ends_it(api: RuntimeApi, service: ReceivingService) -> None:
    service.delay_s = 4.0
    began = time.monotonic()
    kind, answer = api.invoke(sqs_batch(*["{}"] * 10), timeout_s=10.0)
    assert kind == "response"
    assert 7 <= len(answer["batchItemFailures"]) < 10
    assert time.monotonic() - began < 10.0


def test_a_function_without_an_address_says_so(log: Path) -> None:
    with function(log.with_name("other.txt"), S2M_URL="") as api:
        kind, answer = api.invoke(sqs_batch("{}"))
    assert (kind, answer["errorType"]) == ("error", "ValueError")
    assert "S2M_URL must be set" in answer["errorMessage"]


@contextmanager
def _real_service(folder: Path, **settings: str) -> Iterator[str]:
    """The service as people start it; its address."""
    docs = folder / "docs"
    docs.mkdir()
    (docs / "규정.txt").write_text("연차휴가는 15일이다.", encoding="utf-8")
    given = {"S2M_DATA_DIR": str(folder / "data"), "S2M_EMBEDDER__KIND": "hash", **settings}
    command = [sys.executable, "-m", "s3_to_milvus.cli.main", "serve", "--port", "0", "--source", str(docs)]
    log = folder / "service.txt"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env=dict(os.environ) | given, stdout=output, stderr=output) as process,
    ):
        try:
            until(lambda: "Serving http" in log.read_text(encoding="utf-8"), 60)
            said = log.read_text(encoding="utf-8").partition("Serving ")[2]
            yield said.split()[0].rstrip("/")
        finally:
            process.terminate()


def test_the_service_takes_what_the_function_signs(tmp_path: Path) -> None:
    secrets = {
        "S2M_AUTH__MODE": "required",
        "S2M_AUTH__EVENT_SECRETS": json.dumps(["an older secret of tests", SECRET]),
    }
    batch = sqs_batch(text({"Records": [record(KOREAN)]}), TEST_MESSAGE, "no json")
    names = [{"itemIdentifier": f"m{number}"} for number in range(3)]
    with _real_service(tmp_path, **secrets) as url:
        for form, failed in (("raw", []), ("original", names[2:])):
            with function(tmp_path / f"{form}.txt", S2M_URL=url, S2M_SECRET=SECRET, S2M_FORMAT=form) as api:
                assert api.invoke(batch) == ("response", {"batchItemFailures": failed})
        with function(tmp_path / "forged.txt", S2M_URL=url, S2M_SECRET="wrong") as api:
            assert api.invoke(batch) == ("response", {"batchItemFailures": names})
    assert '"status": 401' in (tmp_path / "forged.txt").read_text(encoding="utf-8")
