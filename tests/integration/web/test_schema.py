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

from s3_to_milvus.settings import AuthSettings, Settings
from s3_to_milvus.web.app import create_app
from tests.support.application import FakeApplication, until

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.schemas.BaseSchema]:
    application = FakeApplication(Path(tmp_path_factory.mktemp("data")))
    application.settings = Settings(data_dir=application.data_dir, auth=AuthSettings(mode="none"))
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


def test_every_number_that_is_taken_fits_into_64_bits(schema: schemathesis.schemas.BaseSchema) -> None:
    """What a database can't hold is refused at the door."""
    raw = dict(schema.raw_schema)
    asked = [raw["components"]["schemas"][name] for name in raw["components"]["schemas"] if name.endswith("Body")]
    asked += [
        each for path in raw["paths"].values() for method in path.values() for each in method.get("parameters", [])
    ]
    numbers = [each for one in asked for each in _integers(one)]
    assert len(numbers) >= 4
    for each in numbers:
        assert 0 <= each["minimum"] <= each["maximum"] <= float(1 << 63), each  # the document rounds


def _integers(part: object) -> Iterator[dict[str, Any]]:
    """Every integer in a piece of the document."""
    if isinstance(part, dict):
        if part.get("type") == "integer":
            yield part
        part = list(part.values())
    for each in part if isinstance(part, list) else []:
        yield from _integers(each)


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
