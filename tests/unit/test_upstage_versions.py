"""Which dated model reads behind an alias: told when it changes, once while two of them answer in turn."""

from structlog.testing import capture_logs

from s3_to_milvus.adapters.parsers.upstage.versions import Versions
from s3_to_milvus.adapters.tickets import MemoryTickets


def _told(versions: Versions, *models: str) -> list[tuple[str, str]]:
    with capture_logs() as lines:
        for model in models:
            versions.heard(model)
    return [(line["event"].removeprefix("upstage."), line["model"]) for line in lines]


def test_a_change_is_told_once_also_while_both_answer_in_turn() -> None:
    versions = Versions("alias", MemoryTickets())
    assert _told(versions, "m-1", "m-1") == [("model", "m-1")]
    assert _told(versions, "m-2", "m-1", "m-2", "m-1", "m-2") == [("model_changed", "m-2")]
    assert _told(versions, "m-3") == [("model_changed", "m-3")]


def test_what_is_remembered_is_put_again_each_day() -> None:
    moment, tickets = [0.0], MemoryTickets()
    versions = Versions("alias", tickets, lambda: moment[0])
    versions.heard("m-1")
    tickets.drop_ticket("upstage model alias")
    versions.heard("m-1")
    assert tickets.ticket("upstage model alias") is None
    moment[0] += 86_400
    assert _told(versions, "m-1") == []
    assert tickets.ticket("upstage model alias") == "m-1"
