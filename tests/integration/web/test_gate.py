"""What every request passes: names, origins, sizes, headers."""

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.settings import AuthSettings, Settings
from s3_to_milvus.web.app import create_app
from tests.support.application import FakeApplication
from tests.support.web import LOOPBACK, is_problem


@pytest.mark.parametrize("path", ["/", "/docs", "/api/v1/status", "/nowhere", "/static/page.css"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert len(headers.get_list("content-security-policy")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": LOOPBACK},
    ],
)
def test_a_page_of_another_site_changes_nothing(client: TestClient, headers: dict[str, str]) -> None:
    for path in ("/process_s3_event", "/api/v1/retry", "/api/v1/sync", "/api/v1/search"):
        assert is_problem(client.post(path, json={}, headers=headers), 403, "forbidden")
    assert client.get("/api/v1/status", headers=headers).status_code == 200


def test_our_own_page_may(client: TestClient) -> None:
    for headers in ({"Origin": LOOPBACK}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert client.post("/api/v1/retry", json={"all": True}, headers=headers).status_code == 202


def test_a_rebound_name_gets_nothing(client: TestClient, application: FakeApplication) -> None:
    assert is_problem(client.get("/", headers={"Host": "evil.example"}), 421, "misdirected_request")
    assert client.get("/", headers={"Host": "localhost:8510"}).status_code == 200


def test_other_interfaces_are_called_by_any_name(application: FakeApplication) -> None:
    application.settings = Settings(data_dir=application.data_dir, auth=AuthSettings(mode="none"))
    with TestClient(create_app(application.as_real), base_url="http://192.168.7.7:8510") as client:
        assert client.get("/", headers={"Host": "docs.example.org"}).status_code == 200
        assert application.urls[-1] == "http://192.168.7.7:8510"


def test_a_body_may_not_be_huge(client: TestClient) -> None:
    big = b'{"query": "' + b"x" * (1 << 20) + b'"}'
    json_type = {"Content-Type": "application/json"}
    for path in ("/api/v1/search", "/process_s3_event"):
        assert is_problem(client.post(path, content=big, headers=json_type), 413, "request_entity_too_large")
        pieces = (big[start : start + 65_536] for start in range(0, len(big), 65_536))
        streamed = client.post(path, content=pieces, headers=json_type)
        assert streamed.status_code == 413
        assert streamed.headers["content-type"] == "application/problem+json"


def test_wrong_methods_and_paths_are_problems(client: TestClient) -> None:
    response = client.get("/process_s3_event")
    assert is_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert is_problem(client.get("/nowhere"), 404, "not_found")
    assert client.get("/static/../app.py").status_code == 404


def test_a_defect_says_so_and_nothing_else(
    application: FakeApplication, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise KeyError("secret document text")

    monkeypatch.setattr(application.mirror, "search", explode)
    response = client.post("/api/v1/search", json={"query": "x"})
    assert is_problem(response, 500, "defect")
    assert "secret" not in response.text
    assert "content-security-policy" in response.headers
