"""A reverse proxy comes in by loopback: what it passes on comes from elsewhere, and is asked for a key."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from s3_to_milvus.domain.access import AccessKey, Role, digest_of
from s3_to_milvus.settings import AuthSettings, Settings
from s3_to_milvus.web.app import create_app
from tests.support.application import FakeApplication
from tests.support.real_server import RealServer, real_server

KEY = "s2m_key-of-a-viewer"
SECRET = "/api/v1/objects"
SIGNS = [
    "Forwarded: for=203.0.113.7",
    "Via: 1.1 proxy",
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: search.example.com",
    "X-Forwarded-Prefix: /docs",
    "X-Real-IP: 203.0.113.7",
    "X-Client-IP: 203.0.113.7",
    "X-Cluster-Client-IP: 203.0.113.7",
    "True-Client-IP: 203.0.113.7",
    "CF-Connecting-IP: 203.0.113.7",
    "CF-Ray: 1",
    "CDN-Loop: cloudflare",
    "Fastly-Client-IP: 203.0.113.7",
    "Fly-Client-IP: 203.0.113.7",
    "X-Azure-ClientIP: 203.0.113.7",
    "X-Original-Host: search.example.com",
    "X-Amzn-Trace-Id: Root=1",
    "X-Envoy-External-Address: 203.0.113.7",
    "Tailscale-User-Login: a@example.com",
    "x-forwarded-FOR:",
]
LOCAL = ["127.0.0.1", "127.0.0.1:8510", "localhost", "LOCALHOST:1", "[::1]:8510", "docs.localhost", "127.8.9.1"]
PUBLIC = ["search.example.com", "203.0.113.7", "192.168.1.5:8510", "[2001:db8::1]", "localhost.example.com", "0.0.0.0"]


def _application(folder: Path, mode: str = "auto") -> FakeApplication:
    application = FakeApplication(folder)
    application.settings = Settings(data_dir=folder, auth=AuthSettings.model_validate({"mode": mode}))
    application.ledger.put_access_key(AccessKey("viewer", Role.VIEWER, digest_of(KEY), 1.0))
    return application


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    application = _application(tmp_path_factory.mktemp("proxy"))
    with capture_logs(), real_server(create_app(application.as_real)) as found:
        yield found


@pytest.mark.parametrize("sign", SIGNS)
def test_what_a_proxy_adds_gives_it_away(server: RealServer, sign: str) -> None:
    for path in (SECRET, "/", "/api/v1/status", "/openapi.json", "/metrics"):
        assert server.get(path, sign)[0] == 401
    assert server.get(SECRET, sign, f"X-API-Key: {KEY}")[0] == 200
    assert server.get("/healthz", sign)[0] == 200
    assert server.get(SECRET)[0] == 200


@pytest.mark.parametrize("host", PUBLIC)
def test_so_does_the_name_it_passes_on(server: RealServer, host: str) -> None:
    assert server.get(SECRET, host=host)[0] == 401
    assert server.get(SECRET, f"X-API-Key: {KEY}", host=host)[0] == 200


def test_and_the_protocol_of_a_proxy_that_adds_nothing(server: RealServer) -> None:
    """nginx as it is set by default."""
    assert server.get(SECRET, version="1.0")[0] == 401
    assert server.get(SECRET, f"X-API-Key: {KEY}", version="1.0")[0] == 200


@pytest.mark.parametrize("host", LOCAL)
def test_whoever_asks_for_himself_is_not_asked(server: RealServer, host: str) -> None:
    assert server.get(SECRET, "X-Request-Id: 1", "Accept: */*", host=host)[0] == 200


def test_the_log_says_so_once_and_how_to_get_a_key(tmp_path: Path) -> None:
    application = _application(tmp_path)
    with capture_logs() as lines, real_server(create_app(application.as_real)) as server:
        assert server.get(SECRET)[0] == 200
        assert [line for line in lines if line["event"] == "access.proxy_seen"] == []
        for _ in range(3):
            assert server.get(SECRET, "X-Forwarded-For: 203.0.113.7")[0] == 401
        token = (tmp_path / "door.token").read_text()
        assert server.get("/api/v1/keys", f"Authorization: Bearer {token}")[0] == 200
    (line,) = [line for line in lines if line["event"] == "access.proxy_seen"]
    assert line["log_level"] == "warning"
    assert line["sign"] == "the header x-forwarded-for"
    assert "key" in line["message"]
    assert "s3-to-milvus keys add" in line["hint"]
    assert "S2M_AUTH__MODE=required" in line["hint"]


def test_who_asks_nobody_on_purpose_is_warned_and_obeyed(tmp_path: Path) -> None:
    application = _application(tmp_path, "none")
    with capture_logs() as lines, real_server(create_app(application.as_real)) as server:
        assert server.get(SECRET, "X-Forwarded-For: 203.0.113.7")[0] == 200
    (line,) = [line for line in lines if line["event"] == "access.open"]
    assert line["log_level"] == "warning"
    assert "Nobody is asked for a key" in line["message"]


@pytest.mark.parametrize("is_left_open", [False, True])
def test_a_unix_socket_is_for_its_owner_and_for_keys(tmp_path: Path, is_left_open: bool) -> None:
    path = tmp_path / "s"
    application = _application(tmp_path)
    if is_left_open:  # by a server that was killed
        import socket

        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        path.chmod(0o666)
    with capture_logs(), real_server(create_app(application.as_real), path) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert server.get(SECRET, host="localhost")[0] == 401
        assert server.get(SECRET, f"X-API-Key: {KEY}", host="search.example.com")[0] == 200
        assert server.get("/healthz", host="localhost")[0] == 200
    assert application.urls == [f"unix:{path}"]


def test_a_service_on_a_unix_socket_makes_its_first_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    application = FakeApplication(tmp_path)
    with capture_logs(), real_server(create_app(application.as_real), tmp_path / "s") as server:
        key = next(word for word in capsys.readouterr().err.split() if word.startswith("s2m_"))
        assert server.get("/api/v1/keys", f"Authorization: Bearer {key}", host="localhost")[0] == 200
