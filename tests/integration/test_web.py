import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.errors import Unauthorized, Unavailable
from s3_to_milvus.web.app import create_app
from s3_to_milvus.web.door import TOKEN_FILE
from tests.support.application import BUCKET, FakeApplication, until

SCRIPT = "<script>alert(1)</script>.zip"
LOOPBACK = "http://127.0.0.1:8510"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def application(tmp_path: Path) -> FakeApplication:
    return FakeApplication(tmp_path)


@pytest.fixture
def client(application: FakeApplication) -> Iterator[TestClient]:
    application.put("인사/휴가.txt", "연차휴가는 15일이다.\n\n병가는 60일까지 쓸 수 있다.")
    application.put("guides/start.md", "Install it and start it.")
    application.put(SCRIPT, "x")
    with TestClient(create_app(application.as_real), base_url=LOOPBACK) as client:
        until(lambda: application.mirror.status().counts.indexed == 2)
        until(lambda: application.mirror.status().counts.failed == 1)
        yield client


def _is_problem(response: Any, status: int, code: str) -> bool:
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "hint"} <= body.keys()
    return (response.status_code, body["status"], body["code"]) == (status, status, code)


def _ends(client: TestClient, response: Any) -> Any:
    """The job that a response started, once it has ended."""
    assert response.status_code == 202
    found: list[Any] = []

    def is_over() -> bool:
        found[:] = [client.get(response.headers["location"]).json()]
        return bool(found[0]["state"] != "running")

    until(is_over)
    return found[0]


# events


@pytest.mark.parametrize(("kind", "status"), [("upload", "Processing initiated"), ("delete", "Deletion initiated")])
def test_an_event_is_durable_before_it_is_answered(
    application: FakeApplication, client: TestClient, kind: str, status: str
) -> None:
    application.mirror.pool.stop()
    body = {"bucket_name": BUCKET, "file_key": "새 문서.txt", "event_type": kind}
    response = client.post("/process_s3_event", json=body)
    assert response.status_code == 202
    assert response.json() == {"status": status, **body}
    found = application.ledger.status(ObjectRef(BUCKET, "새 문서.txt"))
    assert found is not None
    assert found.state is ObjectState.WAITING


def test_an_event_never_decides_what_happened(application: FakeApplication, client: TestClient) -> None:
    body = {"bucket_name": BUCKET, "file_key": "guides/start.md", "event_type": "delete"}
    assert client.post("/process_s3_event", json=body).status_code == 202
    until(lambda: len(application.mirror.timeline(ObjectRef(BUCKET, "guides/start.md"))) == 2)
    assert application.mirror.status().counts.indexed == 2


def test_a_key_of_two_meanings_marks_both(application: FakeApplication, client: TestClient) -> None:
    application.mirror.pool.stop()
    body = {"bucket_name": BUCKET, "file_key": "a%20b+c.txt", "event_type": "upload"}
    assert client.post("/process_s3_event", json=body).status_code == 202
    for key in ("a%20b+c.txt", "a b c.txt"):
        assert application.ledger.status(ObjectRef(BUCKET, key)) is not None


def test_folders_and_foreign_buckets_are_left_alone(application: FakeApplication, client: TestClient) -> None:
    folder = client.post("/process_s3_event", json={"bucket_name": BUCKET, "file_key": "new/", "event_type": "upload"})
    assert (folder.status_code, folder.json()["status"]) == (202, "Folder creation event ignored")
    foreign = client.post("/process_s3_event", json={"bucket_name": "x", "file_key": "k", "event_type": "upload"})
    assert (foreign.status_code, foreign.json()["status"]) == (202, "ignored")
    assert foreign.json()["reason"]
    assert application.ledger.status(ObjectRef("x", "k")) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"bucket_name": "docs", "file_key": "k"}',
        b'{"bucket_name": "docs", "file_key": "k", "event_type": "explode"}',
        b'{"bucket_name": "docs", "file_key": "", "event_type": "upload"}',
        b'{"bucket_name": "", "file_key": "k", "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": 5, "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": "\\ud800", "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": "\xff", "event_type": "upload"}',
        b'{"bucket_name": "docs", "file_key": "' + b"k" * 5000 + b'", "event_type": "upload"}',
        b"[" * 100_000,
    ],
)
def test_a_bad_event_is_refused_in_words(client: TestClient, body: bytes) -> None:
    response = client.post("/process_s3_event", content=body, headers={"Content-Type": "application/json"})
    assert _is_problem(response, 422, "invalid_request")
    assert len(response.content) < 2_000


def test_an_event_that_could_not_be_kept_is_not_accepted(
    application: FakeApplication, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(*_: object) -> None:
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(application.ledger, "observe", observe)
    body = {"bucket_name": BUCKET, "file_key": "k.txt", "event_type": "upload"}
    assert _is_problem(client.post("/process_s3_event", json=body), 503, "unavailable")


# search, objects, status


def test_search_answers_with_exactly_the_documented_keys(client: TestClient) -> None:
    answer = client.post("/api/v1/search", json={"query": "연차휴가는 15일이다.", "top": 1}).json()
    assert set(answer) == {"query", "hits"}
    (hit,) = answer["hits"]
    expected = {"score", "text", "bucket", "key", "file_name", "collection", "chunk_no", "page", "heading"}
    assert set(hit) == expected
    assert (hit["bucket"], hit["key"], hit["collection"], hit["page"]) == (BUCKET, "인사/휴가.txt", "인사", None)
    only = client.post("/api/v1/search", json={"query": "연차", "collection": "guides"}).json()["hits"]
    assert {hit["collection"] for hit in only} == {"guides"}


@pytest.mark.parametrize(
    "body",
    [
        '{"query": "x", "top": 0}',
        '{"query": "x", "top": 1e999}',
        '{"query": "x", "top": NaN}',
        '{"query": "x", "top": 10000000000000000000000}',
        '{"query": "x", "top": "5"}',
        '{"query": "x", "top": true}',
        '{"query": ""}',
        '{"query": "x", "nonsense": 1}',
        '{"query": "\\ud800"}',
        "{}",
    ],
)
def test_a_question_that_is_none_is_refused(client: TestClient, body: str) -> None:
    response = client.post("/api/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert _is_problem(response, 422, "invalid_request")


def test_an_empty_question_and_an_unknown_collection_are_told_apart(client: TestClient) -> None:
    assert _is_problem(client.post("/api/v1/search", json={"query": "  "}), 422, "config")
    unknown = client.post("/api/v1/search", json={"query": "x", "collection": "nope"})
    assert _is_problem(unknown, 422, "config")
    assert "인사" in unknown.json()["hint"]


def test_objects_come_in_pages(client: TestClient) -> None:
    keys: list[str] = []
    after = ""
    for _ in range(4):
        page = client.get("/api/v1/objects", params={"limit": 1, "after": after}).json()
        keys += [each["key"] for each in page["objects"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert keys == [SCRIPT, "guides/start.md", "인사/휴가.txt"]
    failed = client.get("/api/v1/objects", params={"state": "failed"}).json()["objects"]
    assert [(each["key"], each["error_code"]) for each in failed] == [(SCRIPT, "unsupported_format")]
    assert client.get("/api/v1/objects", params={"prefix": "인사/"}).json()["objects"][0]["state"] == "indexed"
    assert client.get("/api/v1/objects", params={"bucket": "other"}).json()["objects"] == []
    assert _is_problem(client.get("/api/v1/objects", params={"after": "mine"}), 422, "config")
    assert _is_problem(client.get("/api/v1/objects", params={"limit": 0}), 422, "invalid_request")
    assert _is_problem(client.get("/api/v1/objects", params={"state": "lost"}), 422, "invalid_request")


def test_one_object_shows_its_timeline_and_chunks(client: TestClient) -> None:
    line = client.get("/api/v1/objects", params={"key": "인사/휴가.txt"}).json()["objects"][0]
    found = client.get(f"/api/v1/objects/{line['id']}").json()
    assert [run["outcome"] for run in found["timeline"]] == ["indexed"]
    assert [chunk["chunk_no"] for chunk in found["chunks"]] == list(range(found["chunk_count"]))
    assert "연차휴가" in found["chunks"][0]["text"]
    assert found["record"]["collection"].startswith("c_")
    assert _is_problem(client.get(f"/api/v1/objects/{'0' * 64}"), 404, "unknown_object")
    assert _is_problem(client.get("/api/v1/objects/me"), 422, "invalid_request")


def test_a_name_that_no_unicode_can_spell_survives(application: FakeApplication, client: TestClient) -> None:
    key = "caf\udce9.zip"
    application.store.put(BUCKET, key, b"x")
    application.mirror.mark([ObjectRef(BUCKET, key)])
    until(lambda: application.mirror.status().counts.failed == 2)
    found = client.get("/api/v1/objects?key=caf%E9.zip").json()["objects"]
    assert [each["key"] for each in found] == [key]
    assert client.get(f"/api/v1/objects/{found[0]['id']}").json()["key"] == key
    assert client.get("/").status_code == 200


def test_status_and_collections_have_the_documented_keys(client: TestClient) -> None:
    status = client.get("/api/v1/status").json()
    assert set(status["objects"]) == {"indexed", "waiting", "running", "failed", "empty"}
    assert set(status["freshness_seconds"]) == {"p50", "p95"}
    assert status["held"] is None
    assert status["sources"][0]["uri"] == "s3://docs/"
    collections = client.get("/api/v1/collections").json()["collections"]
    assert collections == status["collections"]
    assert {each["folder"]: each["entities"] for each in collections}["인사"] == 2
    assert set(collections[0]) == {"name", "folder", "objects", "entities", "embedder", "dim"}


# work


def test_retry_takes_keys_or_all(application: FakeApplication, client: TestClient) -> None:
    answer = client.post("/api/v1/retry", json={"keys": [SCRIPT, "nobody"]})
    assert (answer.status_code, answer.json()) == (202, {"retried": 1, "unknown": ["nobody"]})
    until(lambda: len(application.mirror.timeline(ObjectRef(BUCKET, SCRIPT))) == 2)
    until(lambda: application.mirror.status().counts.failed == 1)
    assert client.post("/api/v1/retry", json={"all": True}).json()["retried"] == 1
    wrong: list[dict[str, Any]] = [{}, {"all": False}, {"all": True, "keys": ["a"]}, {"keys": []}]
    for body in wrong:
        assert _is_problem(client.post("/api/v1/retry", json=body), 422, "invalid_request")


def test_a_sync_is_a_job_with_the_report_of_the_command(application: FakeApplication, client: TestClient) -> None:
    application.put("guides/new.md", "brand new")
    job = _ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/"}))
    expected = {
        "source",
        "added",
        "changed",
        "removed",
        "unchanged",
        "failed",
        "empty",
        "chunks",
        "embedded",
        "seconds",
    }
    assert set(job["report"]) == expected
    assert (job["report"]["added"], job["report"]["unchanged"], job["report"]["failed"]) == (1, 2, 1)
    assert [line["key"] for line in job["failures"]] == [SCRIPT]
    application.store.delete(BUCKET, "guides/new.md")
    dry = _ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/", "dry_run": True}))
    assert dry["report"]["plan"] == [{"bucket": BUCKET, "key": "guides/new.md", "action": "remove"}]
    assert application.mirror.status().counts.indexed == 3


def test_a_source_is_only_added_by_who_can_read_the_data_folder(
    application: FakeApplication, client: TestClient, tmp_path: Path
) -> None:
    application.store.put("other", "a.txt", b"hello")
    body = {"source": "s3://other/"}
    assert _is_problem(client.post("/api/v1/sync", json=body), 403, "unknown_source")
    wrong = client.post("/api/v1/sync", json=body, headers={b"Authorization": b"Bearer n\xc3\xa9"})
    assert wrong.status_code == 403
    token = tmp_path / TOKEN_FILE
    assert token.stat().st_mode & 0o777 == 0o600
    headers = {"Authorization": f"Bearer {token.read_text()}"}
    assert _ends(client, client.post("/api/v1/sync", json=body, headers=headers))["report"]["added"] == 1


def test_a_removal_guard_ends_the_job_with_its_numbers(application: FakeApplication, client: TestClient) -> None:
    for key in application.store.contents(BUCKET):
        application.store.delete(BUCKET, key)
    job = _ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/"}))
    assert (job["state"], job["problem"]["code"], job["problem"]["removals"]) == ("failed", "removal_guard", 3)
    assert application.mirror.status().counts.indexed == 2
    sure = _ends(client, client.post("/api/v1/sync", json={"source": "s3://docs/", "yes": True}))
    assert (sure["state"], application.mirror.status().counts.indexed) == ("done", 0)


def test_check_finds_and_repairs(application: FakeApplication, client: TestClient) -> None:
    assert _ends(client, client.post("/api/v1/check"))["report"] == {
        "ok": True,
        "missing": [],
        "stale": [],
        "orphaned": [],
    }
    record = application.mirror.find("guides/start.md")[0].record
    assert record is not None
    application.vectors.delete(record.collection, record.ids)
    found = _ends(client, client.post("/api/v1/check", json={"repair": False}))["report"]
    assert (found["ok"], [each["key"] for each in found["missing"]]) == (False, ["guides/start.md"])
    job = _ends(client, client.post("/api/v1/check", json={"repair": True}))
    assert (job["report"]["ok"], job["repaired"]) == (True, 1)
    assert _is_problem(client.get("/api/v1/check/nope"), 404, "unknown_job")
    assert _is_problem(client.get(f"/api/v1/sync/{job['job']}"), 404, "unknown_job")


# health


def test_alive_ready_and_figures(application: FakeApplication, client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "reasons": []}
    figures = client.get("/metrics").text
    assert 's2m_objects{state="indexed"} 2.0' in figures
    assert "s2m_freshness_seconds" in figures
    assert "휴가" not in figures
    application.mirror.pool.stop()
    stopped = client.get("/readyz")
    assert (stopped.status_code, stopped.json()["reasons"]) == (503, ["The workers do not run."])


def test_before_the_start_it_lives_but_is_not_ready(application: FakeApplication) -> None:
    client = TestClient(create_app(application.as_real), base_url=LOOPBACK)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert _is_problem(client.get("/api/v1/status"), 503, "unavailable")
    assert not application.is_started


def test_start_and_stop(application: FakeApplication, tmp_path: Path) -> None:
    with TestClient(create_app(application.as_real, url="http://here:1"), base_url=LOOPBACK) as client:
        client.get("/healthz")
        assert (application.is_started, application.urls) == (True, ["http://here:1"])
    assert application.is_stopped
    assert not (tmp_path / TOKEN_FILE).exists()


def test_a_known_reason_not_to_start_is_told_in_words(tmp_path: Path) -> None:
    sent: list[Any] = []

    def build() -> Any:
        raise Unauthorized("No key.", hint="Get one.")

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        with pytest.raises(Unauthorized):
            await create_app(build)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    import asyncio

    asyncio.run(run())
    assert sent == [{"type": "lifespan.startup.failed", "message": "error: No key.\nhint: Get one."}]


# the page


def test_the_page_shows_status_failures_and_no_script(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.zip" in page.text
    assert "<script" not in page.text
    assert 'lang="en"' in page.text
    assert "unsupported_format" in page.text
    assert "인사" in page.text


def test_the_page_searches_without_a_script(client: TestClient) -> None:
    found = client.get("/", params={"q": "연차휴가는 15일이다."}).text
    assert "<h3><bdi>휴가.txt</bdi></h3>" in found
    evil = client.get("/", params={"q": '"><script>alert(1)</script>', "lang": "ko"}).text
    assert "<script" not in evil
    assert 'value="&#34;&gt;&lt;script&gt;' in evil
    unknown = client.get("/", params={"q": "x", "collection": "nope"})
    assert unknown.status_code == 200
    assert "There is no collection" in unknown.text


def test_the_page_speaks_korean(client: TestClient) -> None:
    assert "실패한 문서" in client.get("/", headers={"Accept-Language": "ko-KR,ko;q=0.9"}).text
    korean = client.get("/?lang=ko").text
    assert '<html lang="ko">' in korean
    assert "Failed documents" not in korean


def test_what_needs_attention_stands_on_the_page(application: FakeApplication, client: TestClient) -> None:
    application.mirror.guards[BUCKET] = "70 of 90 <objects> would be removed"
    application.mirror.pool.held = Unauthorized("The key is wrong.", hint="Get another one.")
    page = client.get("/").text
    assert "70 of 90 &lt;objects&gt; would be removed" in page
    assert "The key is wrong." in page
    assert "Get another one." in page


def test_it_works_below_a_path(application: FakeApplication) -> None:
    with TestClient(create_app(application.as_real), base_url=LOOPBACK, root_path="/tools/search") as client:
        page = client.get("/tools/search/").text
        assert 'href="/tools/search/static/page.css"' in page
        assert client.get("/tools/search/static/page.css").status_code == 200
        assert 'src="/tools/search/static/docs.js"' in client.get("/tools/search/docs").text
        assert client.get("/tools/search/openapi.json").status_code == 200
        started = client.post("/tools/search/api/v1/check")
        assert started.headers["location"].startswith("/tools/search/api/v1/check/")


def test_the_interface_page_needs_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for path in ("/static/swagger/swagger-ui-bundle.js", "/static/swagger/swagger-ui.css", "/static/docs.js"):
        assert path in page
        assert client.get(path).status_code == 200
    document = client.get("/openapi.json").json()
    assert {"/process_s3_event", "/api/v1/search", "/api/v1/objects/{object_id}", "/readyz"} <= set(document["paths"])
    assert "HTTPValidationError" not in json.dumps(document)


# what every request passes


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
        assert _is_problem(client.post(path, json={}, headers=headers), 403, "forbidden")
    assert client.get("/api/v1/status", headers=headers).status_code == 200


def test_our_own_page_may(client: TestClient) -> None:
    for headers in ({"Origin": LOOPBACK}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert client.post("/api/v1/retry", json={"all": True}, headers=headers).status_code == 202


def test_a_rebound_name_gets_nothing(client: TestClient, application: FakeApplication) -> None:
    assert _is_problem(client.get("/", headers={"Host": "evil.example"}), 421, "misdirected_request")
    assert client.get("/", headers={"Host": "localhost:8510"}).status_code == 200


def test_other_interfaces_are_called_by_any_name(application: FakeApplication) -> None:
    with TestClient(create_app(application.as_real), base_url="http://192.168.7.7:8510") as client:
        assert client.get("/", headers={"Host": "docs.example.org"}).status_code == 200
        assert application.urls[-1] == "http://192.168.7.7:8510"


def test_a_body_may_not_be_huge(client: TestClient) -> None:
    big = b'{"query": "' + b"x" * (1 << 20) + b'"}'
    json_type = {"Content-Type": "application/json"}
    for path in ("/api/v1/search", "/process_s3_event"):
        assert _is_problem(client.post(path, content=big, headers=json_type), 413, "request_entity_too_large")
        pieces = (big[start : start + 65_536] for start in range(0, len(big), 65_536))
        streamed = client.post(path, content=pieces, headers=json_type)
        assert streamed.status_code == 413
        assert streamed.headers["content-type"] == "application/problem+json"


def test_wrong_methods_and_paths_are_problems(client: TestClient) -> None:
    response = client.get("/process_s3_event")
    assert _is_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert _is_problem(client.get("/nowhere"), 404, "not_found")
    assert client.get("/static/../app.py").status_code == 404


def test_a_defect_says_so_and_nothing_else(
    application: FakeApplication, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise KeyError("secret document text")

    monkeypatch.setattr(application.mirror, "search", explode)
    response = client.post("/api/v1/search", json={"query": "x"})
    assert _is_problem(response, 500, "defect")
    assert "secret" not in response.text
    assert "content-security-policy" in response.headers
