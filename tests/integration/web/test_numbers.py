"""Numbers, marks and texts that no database holds: refused in words, never an unexpected failure."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from s3_to_milvus.bootstrap import Application, build
from s3_to_milvus.settings import load
from s3_to_milvus.web.app import create_app
from tests.support.web import LOOPBACK, is_problem

HUGE = [1 << 63, -(1 << 63) - 1, 10**30, 10**400]
ODD = ["NaN", "Infinity", "-Infinity", "1e400", "1.5", '"1"', "9" * 5_000, "[" * 50_000]
BODIES = [
    ("/api/v1/search", '{"query": "x", "top": %s}'),
    ("/api/v1/quarantine/replay", '{"ids": [%s]}'),
    ("/api/v1/quarantine/drop", '{"ids": [%s]}'),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Over the real ledger: one in memory would take any number."""
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "docs").mkdir()
    values = {"data_dir": folder / "data", "source": (str(folder / "docs"),), "embedder.kind": "hash"}

    def application() -> Application:
        return build(load({**values, "parser.kind": ("text",)}, environ={}, folder=Path(folder)))

    with TestClient(create_app(application), base_url=LOOPBACK) as client:
        yield client


@pytest.mark.parametrize("number", [*map(str, HUGE), *ODD])
@pytest.mark.parametrize(("path", "body"), BODIES)
def test_in_a_body(real: TestClient, path: str, body: str, number: str) -> None:
    answer = real.post(path, content=body % number, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("number", [*map(str, HUGE), "9" * 5_000, "NaN", "1e30", "-1", "0x10", "٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣"])
@pytest.mark.parametrize("path", ["/api/v1/quarantine?after=", "/api/v1/quarantine?limit=", "/api/v1/objects?limit="])
def test_in_an_address(real: TestClient, path: str, number: str) -> None:
    assert is_problem(real.get(path + number), 422, "invalid_request")


def test_the_largest_number_there_is_is_one(real: TestClient) -> None:
    most = (1 << 63) - 1
    assert real.get(f"/api/v1/quarantine?after={most}").json() == {"bodies": [], "next": None}
    assert real.post("/api/v1/quarantine/drop", json={"ids": [most, 0]}).json() == {"taken": 0, "left": 0}


@pytest.mark.parametrize(
    "mark",
    [["a", 10**30], [10**30, "a"], ["a\ud800", "b"], ["a", "b\ud800"], [["a"], "b"], "ab", {"a": 1, "b": 2}, [], None],
)
def test_a_mark_of_a_page_that_is_not_ours(real: TestClient, mark: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(mark).encode()).decode()
    assert is_problem(real.get("/api/v1/objects", params={"after": text}), 422, "config")
