"""Journals keep the contract."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from s3_to_milvus.adapters.journals.log import LogJournal
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import Journal
from s3_to_milvus.testing.contracts.journal import JournalContract
from s3_to_milvus.testing.fakes.journal import MemoryJournal


@pytest.fixture(autouse=True)
def _as_at_the_start() -> None:
    """An earlier test may have run a command, which sets the log up."""
    structlog.reset_defaults()


class TestLogJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def _lines(self) -> Iterator[None]:
        with capture_logs() as lines:
            self.lines: list[EventDict] = lines
            yield

    @pytest.fixture
    def journal(self) -> Journal:
        return LogJournal(LogJournal.Options())

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        return [(line["id"], line["key"], line["outcome"]) for line in self.lines if line["event"] == "journal.entry"]


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> Journal:
        return MemoryJournal()

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        assert isinstance(journal, MemoryJournal)
        return [(entry.id, entry.ref.key, entry.outcome) for entry in journal.entries]

    def test_a_failure_leaves_a_part_behind(self) -> None:
        journal = MemoryJournal()
        journal.failures.append(Unavailable("down"))
        entries = [JournalEntry(n, ObjectRef("b", "k"), "replace", "indexed", 0.0, 0.0) for n in (1, 2)]
        with pytest.raises(Unavailable):
            journal.deliver(entries)
        journal.deliver(entries)
        assert [entry.id for entry in journal.entries] == [1, 2]


def test_the_log_line_is_json_with_readable_times() -> None:
    out = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer(ensure_ascii=False)],
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    try:
        journal = LogJournal(LogJournal.Options())
        journal.deliver(
            [JournalEntry(4, ObjectRef("b", "휴가.txt"), "replace", "failed", 1_700_000_000.0, 2.0004, "x")]
        )
    finally:
        structlog.reset_defaults()
    line = json.loads(out.getvalue())
    assert line["key"] == "휴가.txt"
    assert line["started_at"] == "2023-11-14T22:13:20.000+00:00"
    assert line["elapsed_s"] == 2.0
