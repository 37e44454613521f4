"""`/api/v1`: search, objects, status."""

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.errors import Unavailable
from tests.support.application import BUCKET, FakeApplication, until
from tests.support.web import SCRIPT, is_problem


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
    assert is_problem(response, 422, "invalid_request")


def test_an_empty_question_and_an_unknown_collection_are_told_apart(client: TestClient) -> None:
    assert is_problem(client.post("/api/v1/search", json={"query": "  "}), 422, "config")
    unknown = client.post("/api/v1/search", json={"query": "x", "collection": "nope"})
    assert is_problem(unknown, 422, "config")
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
    assert is_problem(client.get("/api/v1/objects", params={"after": "mine"}), 422, "config")
    assert is_problem(client.get("/api/v1/objects", params={"limit": 0}), 422, "invalid_request")
    assert is_problem(client.get("/api/v1/objects", params={"state": "lost"}), 422, "invalid_request")


def test_one_object_shows_its_timeline_and_chunks(client: TestClient) -> None:
    line = client.get("/api/v1/objects", params={"key": "인사/휴가.txt"}).json()["objects"][0]
    found = client.get(f"/api/v1/objects/{line['id']}").json()
    assert [run["outcome"] for run in found["timeline"]] == ["indexed"]
    assert [chunk["chunk_no"] for chunk in found["chunks"]] == list(range(found["chunk_count"]))
    assert "연차휴가" in found["chunks"][0]["text"]
    assert found["record"]["collection"].startswith("c_")
    assert is_problem(client.get(f"/api/v1/objects/{'0' * 64}"), 404, "unknown_object")
    assert is_problem(client.get("/api/v1/objects/me"), 422, "invalid_request")


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


def test_a_milvus_that_does_not_answer_is_said_and_counts_nothing(
    client: TestClient, application: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(name: str) -> int:
        asked.append(name)
        raise Unavailable("it does not answer")

    monkeypatch.setattr(application.vectors, "count", away)
    status = client.get("/api/v1/status").json()
    assert {each["entities"] for each in status["collections"]} == {None}
    assert "Milvus can't be asked: it does not answer" in status["warnings"]
    assert len(asked) == 1
    assert ">?<" in client.get("/").text
