"""What is no document's fault buries no document: refused settings, and what the store of results answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_milvus.adapters.tickets import MemoryTickets
from s3_to_milvus.domain.retrying import Hold, RetryPolicy, next_step
from s3_to_milvus.errors import FatalError, Rejected, Unauthorized, Unavailable, UnreadableDocument
from tests.support.upstage_parsing import made_parser as _made
from tests.support.upstage_parsing import pdf_of as _pdf
from tests.support.upstage_server import Fault, UpstageServer, upstage_server

PDF = "application/pdf"


@pytest.fixture
def server() -> Iterator[UpstageServer]:
    with upstage_server() as server:
        yield server


def _error(status: int, **error: Any) -> Fault:
    return Fault(status, body=json.dumps({"error": {"message": "quoted secret text", **error}}).encode())


@pytest.mark.parametrize("sync_pages", [1, 100])
def test_a_wrong_model_holds_the_queue(server: UpstageServer, sync_pages: int) -> None:
    parser = _made(server, model="document-pares", sync_pages=sync_pages)
    with pytest.raises(FatalError, match="model") as caught:
        parser.parse(_pdf(3))
    assert next_step(caught.value, 1, RetryPolicy(), 0.5) == Hold()
    assert "S2M_PARSER__UPSTAGE__MODEL" in caught.value.hint
    assert "secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    "fault",
    [
        _error(400, param="ocr", code="invalid_parameter"),
        _error(422, param="mode"),
        _error(404, code="model_not_found"),
        _error(403, param=None, code="invalid_model"),
        _error(400, param="output_formats"),
    ],
)
def test_any_refused_setting_holds_the_queue(server: UpstageServer, fault: Fault) -> None:
    server.faults = [fault]
    with pytest.raises(FatalError, match="setting"):
        _made(server).parse(_pdf(1))


@pytest.mark.parametrize(
    "fault",
    [
        _error(400, param="document", code="invalid_document"),
        _error(400, param=None, code=None),
        _error(422, param=["model"], code=7),
        Fault(400, body=b'{"error": "the model secret"}'),
        Fault(400, body=b"[[["),
    ],
)
def test_a_refused_document_is_buried_alone(server: UpstageServer, fault: Fault) -> None:
    server.faults = [fault]
    with pytest.raises(UnreadableDocument):
        _made(server).parse(_pdf(1))


def test_tables_over_pages_that_one_document_is_too_long_for_hold_nothing_up(server: UpstageServer) -> None:
    server.faults = [_error(400, param="merge_multipage_tables")]
    with pytest.raises(Rejected, match="merge_multipage_tables"):
        _made(server, merge_multipage_tables=True).parse(_pdf(1))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_the_store_of_results_does_not_speak_for_the_service(server: UpstageServer, status: int) -> None:
    """A document that was paid for stays so, whatever the store says about its address."""
    tickets = MemoryTickets()
    parser, source = _made(server, tickets, sync_pages=1), _pdf(3)
    server.expired = Fault(status, body=b"<Error><Code>ExpiredToken</Code><Message>credit</Message></Error>")
    server.expiring = 9
    with pytest.raises(Unavailable, match="result") as caught:
        parser.parse(source)
    assert not isinstance(caught.value, Unauthorized)
    server.expiring = 0
    assert list(parser.parse(source).blocks)
    assert len(server.posts) == 1
    server.expiring = server.polls["request-0"] + 1  # a new address is good
    assert list(parser.parse(source).blocks)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_question_that_is_refused_is_no_fault_of_the_document(server: UpstageServer, status: int) -> None:
    parser, source = _made(server, sync_pages=1), _pdf(3)
    server.standing = {"/requests/request-0": Fault(status)}
    with pytest.raises(Unavailable):
        parser.parse(source)
    server.standing = {}
    assert list(parser.parse(source).blocks)
    assert len(server.posts) == 1
