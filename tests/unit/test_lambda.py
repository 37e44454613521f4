"""The Lambda that hands notifications over: what it sends, what it reports as failed, what it never says."""

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from s3_to_milvus.settings import AuthSettings
from s3_to_milvus.testing.fakes.ledger import MemoryLedger
from s3_to_milvus.web.access import Access
from tests.support.forwarding import (
    FUNCTION,
    KOREAN,
    TEST_MESSAGE,
    ReceivingService,
    bridge_event,
    in_sns,
    load_function,
    receiving,
    record,
    sqs_batch,
    text,
    wanted_signature,
    zipped_function,
)
from tests.support.patience import HANGS_S, SOON_S
from tests.support.ports import free_port

SECRET = "하나의 secret " + "x" * 80
BODIES = [
    text({"Records": [record(KOREAN), record("b.txt", "ObjectRemoved:Delete")]}),
    text(in_sns(text({"Records": [record(KOREAN)]}))),
    text(bridge_event(KOREAN)),
    TEST_MESSAGE,
    "no json: 한글 \ud800",
]


class Context:
    """What Lambda says about the time that is left, each time it is asked."""

    def __init__(self, *left_s: float) -> None:
        self._left_s = list(left_s)

    def get_remaining_time_in_millis(self) -> int:
        return round(self._left_s.pop(0) * 1000)


@pytest.fixture
def service() -> Iterator[ReceivingService]:
    with receiving() as service:
        yield service


@pytest.fixture(autouse=True)
def _environment(service: ReceivingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_URL", service.url)
    monkeypatch.setenv("S2M_TIMEOUT_S", "5")


def handled(event: Any, context: Any = None) -> Any:
    return load_function().lambda_handler(event, context)


def failed(event: Any, context: Any = None) -> list[str]:
    return [each["itemIdentifier"] for each in handled(event, context)["batchItemFailures"]]


def sent(service: ReceivingService) -> list[Any]:
    return [each.value for each in service.received]


def test_a_batch_is_forwarded_as_it_came_over_one_connection(service: ReceivingService) -> None:
    assert failed(sqs_batch(*BODIES)) == []
    assert [each.body for each in service.received] == [body.encode("utf-8", "surrogatepass") for body in BODIES]
    assert {each.path for each in service.received} == {"/events"}
    assert {each.headers["content-type"] for each in service.received} == {"application/json"}
    assert service.connections == 1


def test_only_messages_that_fail_are_reported(service: ReceivingService) -> None:
    service.statuses = [202, 503, 200, 429]
    assert failed(sqs_batch(*BODIES)) == ["m1", "m3"]
    assert len(service.received) == len(BODIES)


@pytest.mark.parametrize("status", [200, 202, 204])
def test_every_answer_of_success_is_one(service: ReceivingService, status: int) -> None:
    service.statuses = [status] * 2
    assert failed(sqs_batch(BODIES[0])) == []
    assert handled({"Records": [record(KOREAN)]}) == {"requests": 1}


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 408, 413, 422, 425, 429, 500, 502, 503, 504])
def test_every_other_answer_is_a_failure(
    service: ReceivingService, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    service.statuses = [status] * 2
    assert failed(sqs_batch(BODIES[0])) == ["m0"]
    with pytest.raises(Exception, match=f"^status {status}$"):
        handled(bridge_event(KOREAN))
    assert len(service.received) == 2, "nothing is sent on to where an answer points"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in lines if "status" in line] == [status] * 2


@pytest.mark.parametrize(
    "event",
    [
        {"Records": [record(KOREAN)]},
        bridge_event(KOREAN, "Object Deleted"),
        {"Records": [{"EventSource": "aws:sns", "Sns": in_sns(text({"Records": [record(KOREAN)]}))}]},
        {"Records": []},
        [{"odd": KOREAN}],
    ],
)
def test_what_comes_without_a_queue_is_sent_whole(service: ReceivingService, event: Any) -> None:
    handled(event)
    assert sent(service) == [event]


def test_a_service_that_is_slow_or_away_is_a_failure(
    service: ReceivingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2M_TIMEOUT_S", "0.6")
    service.delay_s = HANGS_S
    began = time.monotonic()
    with pytest.raises(Exception, match="timeout"):
        handled({"Records": [record("a.txt")]})
    assert time.monotonic() - began < SOON_S
    service.delay_s = 0
    monkeypatch.setenv("S2M_URL", f"http://127.0.0.1:{free_port()}")
    assert failed(sqs_batch("{}", "{}")) == ["m0", "m1"]


def test_what_there_is_no_time_for_is_reported(service: ReceivingService) -> None:
    assert failed(sqs_batch("{}", "{}", "{}"), Context(9, 2.4, 2.3)) == ["m1", "m2"]
    assert len(service.received) == 1
    with pytest.raises(Exception, match="out_of_time"):
        handled({}, Context(1))


def test_what_is_too_large_is_a_failure(service: ReceivingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_MAX_BODY_BYTES", "30")
    assert failed(sqs_batch("가" * 10, "가" * 11, "x")) == ["m1"]
    assert [len(each.body) for each in service.received] == [30, 1]


def test_an_odd_message_does_not_take_the_others_with_it(service: ReceivingService) -> None:
    batch = sqs_batch("{}", "{}")
    del batch["Records"][0]["body"]
    assert failed(batch) == ["m0"]
    assert len(service.received) == 1


def test_the_signature_is_what_the_service_wants(service: ReceivingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_SECRET", SECRET)
    began = int(time.time())
    handled(sqs_batch(*BODIES))
    settings = AuthSettings.model_validate({"event_secrets": ["an older secret of tests", SECRET]})
    access = Access(settings, MemoryLedger(), "token", is_public=True)
    assert len(service.received) == len(BODIES)
    for each in service.received:
        assert each.headers["x-s2m-signature"] == wanted_signature(SECRET, each)
        assert began <= int(each.headers["x-s2m-timestamp"]) <= time.time()
        headers = {name.encode(): value for name, value in each.headers.items()}
        assert access.is_genuine(each.body, headers)
        assert not access.is_genuine(each.body + b" ", headers)
        assert "authorization" not in each.headers


def test_a_key_is_sent_as_bearer_over_https_only(service: ReceivingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_API_KEY", "s2m_key")
    handled({})
    assert service.received[0].headers["authorization"] == "Bearer s2m_key"
    assert "x-s2m-signature" not in service.received[0].headers
    monkeypatch.setenv("S2M_URL", "http://search.example.com")
    with pytest.raises(ValueError, match="over https only"):
        handled({})


@pytest.mark.parametrize(
    ("name", "value"),
    [("S2M_URL", ""), ("S2M_URL", "search.example.com"), ("S2M_FORMAT", "odd"), ("S2M_TIMEOUT_S", "x")],
)
def test_wrong_options_fail_loudly(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError):
        handled(sqs_batch("{}"))


def test_the_path_can_be_chosen(service: ReceivingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_URL", f"{service.url}/base/")
    handled({})
    monkeypatch.setenv("S2M_PATH", "/hooks/s3")
    handled({})
    assert [each.path for each in service.received] == ["/base/events", "/base/hooks/s3"]


def _original(key: str, kind: str) -> dict[str, str]:
    return {"bucket_name": "docs", "file_key": key, "event_type": kind}


def test_services_of_the_original_kind_get_a_request_for_each_object(
    service: ReceivingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2M_FORMAT", "original")
    records = [
        record(KOREAN),
        record("folder/"),
        record("b.txt", "ObjectRemoved:DeleteMarkerCreated"),
        record("c.txt", "LifecycleExpiration:Delete"),
        record("d.txt", "ObjectRestore:Completed"),
        record("e.txt", "s3:ReducedRedundancyLostObject"),
        record("f.txt", "ObjectRestore:Post"),
        record("100%+1.txt", "s3:ObjectCreated:Copy", "ceph:s3"),
    ]
    assert failed(sqs_batch(text({"Records": records}), text(in_sns(text({"Records": records[:1]}))))) == []
    assert handled(bridge_event("a+b%20.txt", "Object Deleted")) == {"requests": 1}
    assert handled(bridge_event("a.txt", "Object Tags Added")) == {"requests": 0}
    assert handled(bridge_event(KOREAN, "Object Restore Completed")) == {"requests": 1}
    assert sent(service) == [
        _original(KOREAN, "upload"),
        _original("b.txt", "delete"),
        _original("c.txt", "delete"),
        _original("d.txt", "upload"),
        _original("e.txt", "upload"),
        _original("100%+1.txt", "upload"),
        _original(KOREAN, "upload"),
        _original("a+b%20.txt", "delete"),
        _original(KOREAN, "upload"),
    ]
    assert {each.path for each in service.received} == {"/process_s3_event"}


def test_what_can_not_be_said_in_the_original_way_is_not_lost(
    service: ReceivingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2M_FORMAT", "original")
    odd = ["no json", "[]", '{"Records": 5}', '{"Records": [{}]}', '{"odd": 1}', "[" * 100_000]
    assert failed(sqs_batch(TEST_MESSAGE, *odd)) == [f"m{number}" for number in range(1, 7)]
    assert service.received == []
    service.statuses = [202, 503]
    assert failed(sqs_batch(text({"Records": [record("a.txt"), record("b.txt")]}), BODIES[2])) == ["m0"]


def test_a_key_that_may_be_either_is_sent_as_both(service: ReceivingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_FORMAT", "original")
    either, plain = record("x.txt", source="other:s3"), record("x.txt", source="other:s3")
    either["s3"]["object"]["key"] = "a+b.pdf"
    assert failed(sqs_batch(text({"Records": [either, plain]}))) == []
    assert sent(service) == [_original(key, "upload") for key in ("a+b.pdf", "a b.pdf", "x.txt")]


@pytest.mark.parametrize("first", [True, False])
def test_what_is_good_does_not_wait_for_what_is_bad(
    service: ReceivingService, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setenv("S2M_FORMAT", "original")
    bad = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "docs"}}}
    records = [bad, record("a.txt"), record("b.txt")] if first else [record("a.txt"), record("b.txt"), bad]
    assert failed(sqs_batch(text({"Records": records}), text(bridge_event("c.txt")))) == ["m0"]
    assert sent(service) == [_original(key, "upload") for key in ("a.txt", "b.txt", "c.txt")]
    with pytest.raises(Exception, match=r"^no_notification$"):
        handled({"Records": records})
    assert len(service.received) == 5


def test_a_record_that_the_service_refuses_does_not_hold_up_the_next(
    service: ReceivingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2M_FORMAT", "original")
    monkeypatch.setenv("S2M_MAX_BODY_BYTES", "100")
    records = [record("a.txt"), record("long" * 30), record("b.txt")]
    service.statuses = [422]
    with pytest.raises(Exception, match=r"^status 422$"):
        handled({"Records": records})
    assert sent(service) == [_original(key, "upload") for key in ("a.txt", "b.txt")]


def test_a_service_that_is_away_is_asked_once_for_a_message(
    service: ReceivingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2M_FORMAT", "original")
    monkeypatch.setenv("S2M_TIMEOUT_S", "0.6")
    service.delay_s = 1.5
    with pytest.raises(Exception, match=r"^timeout$"):
        handled({"Records": [record("a.txt"), record("b.txt")]})
    assert len(service.received) == 1


def test_a_prefix_leaves_out_what_lies_elsewhere(service: ReceivingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_PREFIX_FILTER", "밀버스 1/")
    inside, at_the_root, outside = "밀버스 1/규정/a.txt", "밀버스 1/a.txt", "기타/밀버스 1/a.txt"
    whole = text({"Records": [record(inside)]})
    mixed = text(in_sns(text({"Records": [record(outside), record(inside), record(at_the_root)]})))
    none = text({"Records": [record(outside), record("밀버스 1//a.txt")]})
    bridge = [text(bridge_event(key)) for key in (inside, at_the_root)]
    unknown = text({"Records": [record(inside, source="other:s3")]})
    assert failed(sqs_batch(whole, mixed, none, *bridge, unknown, TEST_MESSAGE, "no json")) == []
    assert [each.body.decode() for each in service.received] == [
        whole,
        whole,
        bridge[0],
        unknown,
        TEST_MESSAGE,
        "no json",
    ]
    monkeypatch.setenv("S2M_FORMAT", "original")
    del service.received[:]
    assert failed(sqs_batch(whole, mixed, none, *bridge)) == []
    assert sent(service) == [_original(inside, "upload")] * 3


def test_logs_are_lines_of_json_without_keys_or_secrets(
    service: ReceivingService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("S2M_SECRET", SECRET)
    monkeypatch.setenv("S2M_API_KEY", "s2m_key")
    service.statuses = [202, 401, 500]
    handled(sqs_batch(*BODIES))
    service.statuses = [500]
    with pytest.raises(Exception, match="status 500"):
        handled({"Records": [record(KOREAN)]})
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["event"] for line in lines] == ["message.failed"] * 2 + ["batch.done", "notification.failed"]
    assert lines[2] == {"event": "batch.done", "messages": 5, "failed": 2, "duration_ms": lines[2]["duration_ms"]}
    assert not [word for word in ("docs", "a+b", "%ED", "txt", "secret", "s2m_key") if word in said.out + said.err]


def _certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that nobody has signed, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    no_password = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, context = _certificate(tmp_path)
    with receiving(context) as service:
        monkeypatch.setenv("S2M_URL", service.url)
        with pytest.raises(Exception, match=r"^unreachable \(SSLCertVerificationError\)$"):
            handled({})
        assert service.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        handled({})
        monkeypatch.setenv("S2M_URL", service.url.replace("localhost", "127.0.0.1"))
        with pytest.raises(Exception, match="SSLCertVerificationError"):
            handled({})
        assert [each.path for each in service.received] == ["/events"]


def test_it_needs_nothing_but_python() -> None:
    code = f"import sys; sys.path.insert(0, {str(FUNCTION.parent)!r}); import ai_s3_to_fastapi; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, check=True, text=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()} - {"__main__", "ai_s3_to_fastapi"}
    foreign = {name for name in loaded if name not in sys.stdlib_module_names}
    assert not foreign
    assert "http" in loaded


def test_it_is_small() -> None:
    assert len(zipped_function()) <= 20 * 1024
