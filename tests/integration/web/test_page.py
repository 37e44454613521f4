"""The page for people, and the page of the HTTP interface."""

import json

from starlette.testclient import TestClient

from s3_to_milvus.errors import Unauthorized
from s3_to_milvus.web.app import create_app
from tests.support.application import BUCKET, FakeApplication
from tests.support.web import LOOPBACK


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
