"""What every request passes: names, origins, sizes, headers."""

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.settings import AuthSettings, Settings
from s3_to_milvus.web.app import create_app
from tests.support.application import BUCKET, FakeApplication
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
    assert is_problem(client.get("/", headers={"Host": "evil.example"}), 401, "unauthorized")
    assert client.get("/", headers={"Host": "localhost:8510"}).status_code == 200
    application.settings = Settings(data_dir=application.data_dir, auth=AuthSettings(mode="none"))
    with TestClient(create_app(application.as_real), base_url=LOOPBACK) as open_client:
        assert is_problem(open_client.get("/", headers={"Host": "evil.example"}), 421, "misdirected_request")
        assert open_client.get("/", headers={"Host": "localhost:8510"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Origin": "https://evil.example"},
    ],
)
def test_a_page_of_another_site_sets_nothing_to_work(client: TestClient, headers: dict[str, str]) -> None:
    document = f"/api/v1/objects/{ObjectRef(BUCKET, 'guides/start.md').object_id}/document"
    for path in (document, "/?q=x", "/api/v1/objects", "/metrics", "/api/v1/quarantine"):
        assert is_problem(client.get(path, headers=headers), 403, "forbidden")
        assert client.head(path, headers=headers).status_code == 403
        followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"}
        for own in ({}, followed, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            assert client.get(path, headers=own).status_code == 200
    for path in ("/healthz", "/readyz", "/docs", "/static/page.css"):
        assert client.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "2"), ("Transfer-Encoding", "chunked")],
        [("Content-Length", "2"), ("Content-Length", "3")],
        [("Content-Length", "2, 3")],
        [("Content-Length", "+2")],
        [("Content-Length", "9" * 5_000)],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
        [("Host", "127.0.0.1:8510"), ("Host", "evil.example")],
    ],
)
def test_a_request_whose_end_is_doubtful_is_refused(client: TestClient, headers: list[tuple[str, str]]) -> None:
    request = client.build_request("POST", "/api/v1/search")
    request.headers = type(request.headers)(
        [("Host", "127.0.0.1:8510"), *headers] if headers[0][0] != "Host" else headers
    )
    answer = client.send(request)
    assert is_problem(answer, 400, "bad_request")
    assert answer.headers["connection"] == "close"


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
