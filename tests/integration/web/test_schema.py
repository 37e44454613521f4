"""Every endpoint against hundreds of generated requests: answers keep to the OpenAPI document, and nothing breaks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from s3_to_milvus.web.app import create_app
from tests.support.application import FakeApplication, until

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.schemas.BaseSchema]:
    application = FakeApplication(Path(tmp_path_factory.mktemp("data")))
    application.put("인사/휴가.txt", "연차휴가는 15일이다.")
    application.put("broken.zip", "x")
    app = create_app(application.as_real, url="http://127.0.0.1:1")
    with capture_logs(), TestClient(app):
        until(lambda: application.mirror.status().counts.indexed == 1)
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


def test_answers_keep_to_the_document(schema: schemathesis.schemas.BaseSchema) -> None:
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) >= 14
    for operation in operations:
        _try(operation.as_strategy())


def _try(cases: hypothesis.strategies.SearchStrategy["schemathesis.Case[Any]"]) -> None:
    @hypothesis.settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=cases)
    def run(case: "schemathesis.Case[Any]") -> None:
        case.call_and_validate(checks=CHECKS)

    run()
