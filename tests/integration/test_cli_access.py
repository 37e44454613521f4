"""`keys` and `quarantine`, without a service and beside one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.cli.main import main
from s3_to_milvus.domain.quarantine import QuarantinedBody
from tests.integration.test_cli_remote import Announcing, service

__all__ = ["service"]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2M_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("S2M_EMBEDDER__KIND", "hash")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def _walk_through_keys() -> None:
    made = json.loads(_run("keys", "add", "람다", "--role", "events", "--json").stdout)
    assert made["key"].startswith("s2m_")
    plain = _run("keys", "add", "me")
    assert plain.stdout.strip().startswith("s2m_")
    assert "not shown again" in plain.stderr
    listed = json.loads(_run("keys", "list", "--json").stdout)
    assert {(each["name"], each["role"]) for each in listed} >= {("람다", "events"), ("me", "viewer")}
    assert made["key"] not in str(listed)
    assert "람다" in _run("keys", "list").stdout
    assert _run("keys", "drop", "me").exit_code == 0
    assert _run("keys", "drop", "me").exit_code == 2
    assert _run("keys", "add", "x", "--role", "king").exit_code == 2


def test_keys_without_a_service(alone: Path) -> None:
    assert "There are no keys" in _run("keys", "list").stderr
    _walk_through_keys()


def test_keys_beside_a_service(service: Announcing) -> None:
    _walk_through_keys()
    assert len(service.ledger.access_keys()) == 1


def test_quarantine_without_a_service(alone: Path) -> None:
    assert "Nothing is in quarantine" in _run("quarantine").stderr
    ledger = SqliteLedger(SqliteLedger.Options(), alone / "ledger.db")
    odd = QuarantinedBody('{"odd": "글\x1b"}', "no known shape", "sqs", 1.0)
    ledger.quarantine([odd, QuarantinedBody("x", "y", "http", 2.0)])
    ledger.close()
    shown = _run("quarantine")
    assert '{"odd": "글' in shown.stdout
    assert "\x1b" not in shown.stdout
    first, second = (each["id"] for each in json.loads(_run("quarantine", "--json").stdout))
    assert json.loads(_run("quarantine", "--replay", "--json").stdout) == {"taken": 0, "left": 2}
    assert json.loads(_run("quarantine", str(first), "--drop", "--json").stdout) == {"taken": 0, "left": 1}
    assert json.loads(_run("quarantine", str(second), "--json").stdout)[0]["body"] == "x"
    assert _run("quarantine", "--replay", "--drop").exit_code == 2


def test_quarantine_beside_a_service(service: Announcing) -> None:
    event = json.dumps({"bucket": "docs", "key": "인사/휴가.txt"})
    service.ledger.quarantine([QuarantinedBody(event, "was not known then", "http", 1.0)])
    assert json.loads(_run("quarantine", "--json").stdout)[0]["body"] == event
    assert "1 understood, 0 left" in _run("quarantine", "--replay").stderr
    assert service.ledger.quarantined() == []
    service.ledger.quarantine([QuarantinedBody("x", "y", "http", 1.0)])
    assert "0 left" in _run("quarantine", "--drop").stderr
