"""Journal entries, and the journal in Notion, for tests."""

from s3_to_milvus.adapters.journals.notion import NotionJournal
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.ports import Tickets
from tests.support.notion_server import TOKEN, NotionServer

__all__ = ["entry", "journal_for", "options_for"]

_START = 1_700_000_000.0


def entry(
    number: int,
    *,
    key: str | None = None,
    outcome: str = "indexed",
    message: str = "3 chunks",
    at: float | None = None,
    bucket: str = "bucket",
) -> JournalEntry:
    """The entry of a job; the same number gives the same entry."""
    ref = ObjectRef(bucket, f"인사/{number}.pdf" if key is None else key)
    action = {"removed": "remove", "failed": "bury"}.get(outcome, "replace")
    return JournalEntry(number, ref, action, outcome, _START + number / 8 if at is None else at, 1.25, message)


def options_for(server: NotionServer, database_id: str, **more: object) -> dict[str, object]:
    """Options for a server of the test, without its waits."""
    given = {"token": TOKEN, "database_id": database_id, "base_url": server.url, "settle_s": 0.0}
    return {**given, "requests_per_second": 1e6, **more}


def journal_for(
    server: NotionServer, database_id: str, tickets: Tickets | None = None, **more: object
) -> NotionJournal:
    """A journal as a process that starts now would have it; ``tickets``: of its ledger, None: of one of its own."""
    options = NotionJournal.Options.model_validate(options_for(server, database_id, **more))
    return NotionJournal(options, tickets=tickets)
