"""Documents that are read for callers take a few threads of their own: everything else answers meanwhile."""

import io
import threading
from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.engine.documents import Documents
from s3_to_milvus.web import door
from tests.support.application import BUCKET, FakeApplication, until
from tests.support.web import is_problem

UPLOAD = "/upload_parse_document"
DOCUMENT = f"/api/v1/objects/{ObjectRef(BUCKET, 'guides/start.md').object_id}/document"
EVENT = {"bucket_name": BUCKET, "file_key": "guides/start.md", "event_type": "upload"}


class Gate:
    """Readings that go on only when they are let."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = 0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    read_object, read_file = Documents.of_object, Documents.of_file

    def held(read: Callable[..., object]) -> Callable[..., object]:
        def wait(*args: object) -> object:
            gate.entered += 1
            gate.open.wait(60)
            return read(*args)

        return wait

    monkeypatch.setattr(Documents, "of_object", held(read_object))
    monkeypatch.setattr(Documents, "of_file", held(read_file))
    yield gate
    gate.open.set()


def _ask(client: TestClient, way: str) -> int:
    if way == UPLOAD:
        return int(client.post(UPLOAD, files={"file": ("a.txt", io.BytesIO(b"text"))}).status_code)
    return int(client.get(way).status_code)


@pytest.mark.parametrize("way", [UPLOAD, DOCUMENT])
def test_a_crowd_of_readings_holds_up_nothing_else(client: TestClient, gate: Gate, way: str) -> None:
    statuses: list[int] = []
    callers = [threading.Thread(target=lambda: statuses.append(_ask(client, way))) for _ in range(60)]
    for each in callers:
        each.start()
    until(lambda: len(statuses) == 60 - 1 - door._WAITING, 30)
    assert set(statuses) == {429}
    assert gate.entered == 1, "one parsing process is left to what is indexed"
    for refused in (client.get(DOCUMENT), client.post(UPLOAD, files={"file": ("a.txt", b"text")})):
        assert is_problem(refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0

    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/api/v1/status").status_code == 200
    assert client.get("/api/v1/objects").status_code == 200
    assert client.post("/api/v1/search", json={"query": "start"}).json()["hits"]
    assert client.post("/process_s3_event", json=EVENT).status_code == 202

    gate.open.set()
    for each in callers:
        each.join(60)
    assert statuses.count(200) == 1 + door._WAITING
    assert _ask(client, way) == 200


def test_who_waits_too_long_for_a_turn_is_told(
    application: FakeApplication, client: TestClient, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.app.state.door.lanes.reading, "_patience_s", 0.2)  # type: ignore[attr-defined]
    statuses: list[int] = []
    callers = [threading.Thread(target=lambda: statuses.append(_ask(client, DOCUMENT))) for _ in range(3)]
    for each in callers:
        each.start()
    until(lambda: statuses == [429, 429], 30)
    gate.open.set()
    for each in callers:
        each.join(60)
    assert statuses == [429, 429, 200]


def test_searches_that_hang_hold_up_nothing_else(
    application: FakeApplication, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    entered: list[int] = []

    def hang(*_: object) -> list[object]:
        entered.append(1)
        go_on.wait(60)
        return []

    monkeypatch.setattr(application.mirror, "search", hang)
    callers = [threading.Thread(target=lambda: client.post("/api/v1/search", json={"query": "x"})) for _ in range(60)]
    for each in callers:
        each.start()
    until(lambda: bool(entered))
    for path in ("/healthz", "/readyz", "/", "/api/v1/status", "/api/v1/objects", DOCUMENT):
        assert client.get(path).status_code == 200
    assert client.post("/process_s3_event", json=EVENT).status_code == 202
    go_on.set()
    for each in callers:
        each.join(60)
    assert len(entered) == 60


def test_a_status_that_hangs_leaves_the_service_ready(
    application: FakeApplication, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    status = application.mirror.status

    def hang() -> object:
        go_on.wait(60)
        return status()

    client.app.state.door._status_at = -1e9  # type: ignore[attr-defined]
    monkeypatch.setattr(application.mirror, "status", hang)
    callers = [threading.Thread(target=lambda path=path: client.get(path)) for path in ("/", "/metrics") * 10]
    for each in callers:
        each.start()
    assert client.get("/readyz").status_code == 200
    assert client.post("/api/v1/search", json={"query": "start"}).json()["hits"]
    go_on.set()
    for each in callers:
        each.join(60)
