"""What tests of the HTTP door say often."""

from typing import Any

from starlette.testclient import TestClient

from tests.support.application import until

__all__ = ["LOOPBACK", "SCRIPT", "ends", "is_problem"]

SCRIPT = "<script>alert(1)</script>.zip"
LOOPBACK = "http://127.0.0.1:8510"


def is_problem(response: Any, status: int, code: str) -> bool:
    """True for the problem with this status and code; fails for what is no problem at all."""
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "hint"} <= body.keys()
    return (response.status_code, body["status"], body["code"]) == (status, status, code)


def ends(client: TestClient, response: Any) -> Any:
    """The job that a response started, once it has ended."""
    assert response.status_code == 202
    found: list[Any] = []

    def is_over() -> bool:
        found[:] = [client.get(response.headers["location"]).json()]
        return bool(found[0]["state"] != "running")

    until(is_over)
    return found[0]
