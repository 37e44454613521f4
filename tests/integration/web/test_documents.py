"""Documents as HTML and Markdown: of the bucket, and uploaded."""

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.testing.fakes.parser import FAIL_PERMANENT, FAIL_TRANSIENT
from tests.support.application import BUCKET, FakeApplication
from tests.support.web import is_problem

UPLOAD = "/upload_parse_document"


def _path(key: str, bucket: str = BUCKET) -> str:
    return f"/api/v1/objects/{ObjectRef(bucket, key).object_id}/document"


def test_an_object_is_shown_as_html(client: TestClient) -> None:
    answer = client.get(_path("인사/휴가.txt"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>휴가.txt</title>" in answer.text
    assert "<p>연차휴가는 15일이다.</p>\n<p>병가는 60일까지 쓸 수 있다.</p>" in answer.text
    assert answer.headers["x-document-warnings"] == "0"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_an_object_is_shown_as_markdown(client: TestClient) -> None:
    answer = client.get(_path("인사/휴가.txt"), params={"format": "markdown"})
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text == "연차휴가는 15일이다.\n\n병가는 60일까지 쓸 수 있다.\n"


def test_markup_in_a_document_is_text(client: TestClient) -> None:
    answer = client.post(UPLOAD, files={"file": ("<x>.txt", b"<script>alert(1)</script>")})
    assert "<script>" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text


def test_unknown_and_gone_objects(client: TestClient, application: FakeApplication) -> None:
    assert is_problem(client.get(_path("nowhere")), 404, "unknown_object")
    application.store.delete(BUCKET, "guides/start.md")
    assert is_problem(client.get(_path("guides/start.md")), 404, "object_gone")


def test_what_cannot_be_read_is_a_problem(client: TestClient) -> None:
    assert is_problem(client.post(UPLOAD, files={"file": ("a.bin", b"x")}), 422, "unsupported_format")
    assert is_problem(client.post(UPLOAD, files={"file": ("a.txt", FAIL_PERMANENT)}), 422, "unreadable_document")
    assert is_problem(client.post(UPLOAD, files={"file": ("a.txt", FAIL_TRANSIENT)}), 503, "unavailable")


@pytest.mark.parametrize("path", [UPLOAD, f"{UPLOAD}/"])
def test_an_uploaded_file_is_parsed_and_not_kept(client: TestClient, application: FakeApplication, path: str) -> None:
    before = set(application.data_dir.iterdir())
    answer = client.post(path, files={"file": ("..\\폴더/규정.txt", "제1조\n\n목적".encode())})
    assert answer.status_code == 200
    assert "<title>규정.txt</title>" in answer.text
    assert "<p>제1조</p>\n<p>목적</p>" in answer.text
    assert set(application.data_dir.iterdir()) == before
    assert application.mirror.status().counts.indexed == 2


def test_only_an_upload_may_be_large(client: TestClient) -> None:
    large = b"word " * 500_000
    answer = client.post(UPLOAD, files={"file": ("a.txt", large)}, params={"format": "markdown"})
    assert answer.status_code == 200
    assert len(answer.text.split()) == 500_000
    assert is_problem(client.post("/api/v1/search", content=large), 413, "request_entity_too_large")
    assert is_problem(client.post(f"{UPLOAD}x", content=large), 413, "request_entity_too_large")


def test_a_request_without_a_file_says_so(client: TestClient) -> None:
    assert is_problem(client.post(UPLOAD, data={"name": "x"}), 422, "invalid_request")
    assert is_problem(
        client.post(UPLOAD, content=b"x", headers={"content-type": "multipart/form-data"}), 400, "bad_request"
    )
