"""Keys, roles, signed events: who may do what where others than this machine can reach the service."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import pytest
import structlog
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from s3_to_milvus.domain.access import AccessKey, Role, digest_of
from s3_to_milvus.settings import AuthSettings, Settings
from s3_to_milvus.web.app import create_app
from s3_to_milvus.web.door import door_of
from s3_to_milvus.web.keys import router
from tests.support.application import FakeApplication
from tests.support.web import LOOPBACK, is_problem

PUBLIC = "http://192.168.7.7:8510"
KEYS = {role: f"s2m_key-of-{role.name.lower()}" for role in Role}
EVENT = {"bucket_name": "docs", "file_key": "a.txt", "event_type": "upload"}
SECRETS = ("the old secret of tests", "the new secret of tests")


@pytest.fixture
def application(application: FakeApplication) -> FakeApplication:
    for role, key in KEYS.items():
        application.ledger.put_access_key(AccessKey(role.name, role, digest_of(key), 1.0))
    secrets = tuple(SecretStr(each) for each in SECRETS)
    application.settings = Settings(data_dir=application.data_dir, auth=AuthSettings(event_secrets=secrets))
    return application


@pytest.fixture
def public(application: FakeApplication) -> Iterator[TestClient]:
    with TestClient(create_app(application.as_real), base_url=PUBLIC) as client:
        yield client


def _bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[role]}"}


CALLS = [
    ("GET", "/", None, Role.VIEWER),
    ("GET", "/docs", None, Role.VIEWER),
    ("GET", "/metrics", None, Role.VIEWER),
    ("GET", "/api/v1/status", None, Role.VIEWER),
    ("POST", "/api/v1/search", {"query": "x"}, Role.VIEWER),
    ("POST", "/process_s3_event", EVENT, Role.EVENTS),
    ("POST", "/events", EVENT, Role.EVENTS),
    ("POST", "/api/v1/retry", {"all": True}, Role.OPERATOR),
    ("POST", "/api/v1/quarantine/replay", {}, Role.OPERATOR),
    ("POST", "/api/v1/backup", {"folder": "relative"}, Role.ADMIN),
    ("GET", "/api/v1/keys", None, Role.ADMIN),
    ("POST", "/api/v1/keys", {"name": "x"}, Role.ADMIN),
    ("DELETE", "/api/v1/keys/VIEWER", None, Role.ADMIN),
]


@pytest.mark.parametrize(("method", "path", "body", "needed"), CALLS)
def test_each_call_needs_its_role(
    public: TestClient, method: str, path: str, body: dict[str, object] | None, needed: Role
) -> None:
    refused = public.request(method, path, json=body)
    assert is_problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Basic ")
    wrong = {"Authorization": "Bearer no"}
    assert is_problem(public.request(method, path, json=body, headers=wrong), 401, "unauthorized")
    for role in Role:
        answer = public.request(method, path, json=body, headers=_bearer(role))
        if role < needed:
            assert is_problem(answer, 403, "forbidden")
        else:
            assert answer.status_code < 300, answer.text
        if path.endswith("/VIEWER") and answer.status_code < 300:
            break


@pytest.mark.parametrize("end", ["%0A", "%0D%0A", "%00", "%C2%85", "%E2%80%A8"])
@pytest.mark.parametrize("url", [PUBLIC, LOOPBACK])
def test_a_path_is_what_it_seems(application: FakeApplication, end: str, url: str) -> None:
    """The pattern of a route matches before the end of a line, too."""
    with TestClient(create_app(application.as_real), base_url=url) as client:
        headers = _bearer(Role.OPERATOR) if url == PUBLIC else {}
        for answer in (
            client.post(f"/api/v1/keys{end}", json={"name": "evil", "role": "admin"}, headers=headers),
            client.get(f"/api/v1/keys{end}", headers=headers),
        ):
            assert is_problem(answer, 400, "bad_request")
    assert "evil" not in [key.name for key in application.ledger.access_keys()]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/static/page.css"])
def test_what_machines_watch_is_open(public: TestClient, path: str) -> None:
    assert public.get(path).status_code == 200


def test_a_key_may_come_as_a_password_or_in_a_header_of_its_own(public: TestClient) -> None:
    basic = base64.b64encode(f"anybody:{KEYS[Role.VIEWER]}".encode()).decode()
    assert public.get("/", headers={"Authorization": f"Basic {basic}"}).status_code == 200
    assert public.get("/", headers={"X-API-Key": KEYS[Role.VIEWER]}).status_code == 200
    for odd in ("Basic ///", "Basic", "Bearer", "Bearer  ", "Digest x"):
        assert public.get("/", headers={"Authorization": odd}).status_code == 401


def test_on_this_machine_only_keys_need_the_token(application: FakeApplication) -> None:
    with TestClient(create_app(application.as_real), base_url=LOOPBACK) as client:
        assert client.get("/api/v1/status").status_code == 200
        assert client.post("/api/v1/retry", json={"all": True}).status_code == 202
        assert is_problem(client.get("/api/v1/keys"), 403, "forbidden")
        token = (application.data_dir / "door.token").read_text()
        assert client.get("/api/v1/keys", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize(("mode", "url", "status"), [("required", LOOPBACK, 401), ("none", PUBLIC, 200)])
def test_the_settings_may_say_otherwise(application: FakeApplication, mode: str, url: str, status: int) -> None:
    auth = AuthSettings.model_validate({"mode": mode})
    application.settings = Settings(data_dir=application.data_dir, auth=auth)
    with TestClient(create_app(application.as_real), base_url=url) as client:
        assert client.get("/api/v1/status").status_code == status


def test_a_service_that_others_reach_makes_its_first_key_once(
    application: FakeApplication, capsys: pytest.CaptureFixture[str]
) -> None:
    application.ledger.keys.clear()
    application.settings = Settings(data_dir=application.data_dir, host="0.0.0.0")
    with TestClient(create_app(application.as_real), base_url=PUBLIC) as client:
        said = capsys.readouterr().err
        key = next(word for word in said.split() if word.startswith("s2m_"))
        assert client.get("/api/v1/keys", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert client.get("/api/v1/status").status_code == 401
        local = client.get("http://127.0.0.1:8510/api/v1/status")
        assert local.status_code == 401
    (kept,) = application.ledger.access_keys()
    assert kept.digest == digest_of(key)
    assert key not in repr(kept)


def test_keys_are_shown_once_and_end_at_once(public: TestClient) -> None:
    admin = _bearer(Role.ADMIN)
    made = public.post("/api/v1/keys", json={"name": "람다", "role": "events"}, headers=admin)
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert made.status_code == 201
    assert public.post("/process_s3_event", json=EVENT, headers=key).status_code == 202
    listed = public.get("/api/v1/keys", headers=admin)
    assert {"name": "람다", "role": "events"}.items() <= listed.json()["keys"][-1].items()
    assert made.json()["key"] not in listed.text
    assert public.delete("/api/v1/keys/람다", headers=admin).status_code == 204
    assert is_problem(public.delete("/api/v1/keys/람다", headers=admin), 404, "unknown_key")
    assert public.post("/process_s3_event", json=EVENT, headers=key).status_code == 401


def _signed(body: bytes, secret: str = SECRETS[1], age_s: float = 0) -> dict[str, str]:
    stamp = str(int(time.time() - age_s))
    signature = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-S2M-Timestamp": stamp, "X-S2M-Signature": f"v1={signature}", "Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/process_s3_event", "/events"])
def test_signed_events_need_no_key(public: TestClient, path: str) -> None:
    body = json.dumps(EVENT).encode()
    for secret in SECRETS:
        assert public.post(path, content=body, headers=_signed(body, secret)).status_code == 202
    forged = [
        _signed(body, "other"),
        _signed(body + b" "),
        _signed(body, age_s=400),
        _signed(body, age_s=-400),
        _signed(body) | {"X-S2M-Timestamp": "x"},
        _signed(body) | {"X-S2M-Signature": "v1="},
        _signed(body) | {"X-S2M-Signature": "v2=00"},
        _signed(body) | {"X-S2M-Timestamp": "9" * 40},
    ]
    for headers in forged:
        assert is_problem(public.post(path, content=body, headers=headers), 401, "unauthorized")
    assert is_problem(public.post("/api/v1/retry", json={"all": True}, headers=_signed(b"{}")), 401, "unauthorized")


def test_a_wrong_signature_stands_in_the_log_and_a_wrong_address_is_no_wrong_secret(public: TestClient) -> None:
    structlog.reset_defaults()
    body = json.dumps(EVENT).encode()
    with capture_logs() as lines:
        assert public.post("/events", content=body, headers=_signed(body, "another secret")).status_code == 401
        away = public.post("/s3_to_milvus/events", content=body, headers=_signed(body))
    assert is_problem(away, 404, "not_found")
    assert "address" in away.json()["hint"]
    (line,) = [each for each in lines if each["event"] == "events.refused"]
    assert line["reason"] == "its signature is wrong or too old"
    assert "S2M_AUTH__EVENT_SECRETS" in line["hint"]


@pytest.mark.parametrize("secret", ["", "   ", "short"])
def test_a_secret_that_anybody_could_guess_is_refused_at_the_start(secret: str) -> None:
    with pytest.raises(ValidationError, match="at least 16 characters"):
        AuthSettings.model_validate({"event_secrets": ["the new secret of tests", secret]})
    both = AuthSettings.model_validate({"event_secrets": "the old secret of tests, the new secret of tests"})
    assert [each.get_secret_value() for each in both.event_secrets] == list(SECRETS)


def test_a_ledger_that_fails_is_answered_with_a_problem_and_the_pulse_goes_on(
    application: FakeApplication, public: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked() -> list[AccessKey]:
        raise RuntimeError("disk I/O error")

    monkeypatch.setattr(application.ledger, "access_keys", locked)
    wrong = {"X-API-Key": "s2m_other"}
    assert public.get("/healthz", headers=wrong).status_code == 200
    assert is_problem(public.get("/api/v1/status", headers=wrong), 500, "defect")


@pytest.mark.parametrize("role", [None, *Role])
def test_the_door_to_the_keys_has_a_lock_of_its_own(role: Role | None) -> None:
    app = FastAPI()
    app.include_router(router)

    async def without_gate(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "s2m.role": role}, receive, send)

    client = TestClient(without_gate)
    app.dependency_overrides[door_of] = lambda: None
    status = client.post("/api/v1/keys", json={}).status_code
    assert status == (422 if role is Role.ADMIN else 403)
