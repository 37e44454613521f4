"""A service over fakes in memory, with two documents that are indexed and one that failed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from s3_to_milvus.web.app import create_app
from tests.support.application import FakeApplication, until
from tests.support.web import LOOPBACK, SCRIPT


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
