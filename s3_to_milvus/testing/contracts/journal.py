"""What every journal must do."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.ports import Journal

__all__ = ["JournalContract"]


def _entry(number: int, key: str = "folder/report.pdf") -> JournalEntry:
    return JournalEntry(
        id=number,
        ref=ObjectRef("bucket", key),
        action="replace",
        outcome="indexed",
        started_at=1_700_000_000.5,
        elapsed_s=1.25,
        message="3 chunks",
    )


class JournalContract:
    """Inherit it, provide the fixture ``journal`` and the method ``written``, which reads the journal back."""

    @pytest.fixture
    def journal(self) -> Journal:
        """An empty journal."""
        raise NotImplementedError

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        """The (id, key, outcome) of every entry that a person would read, in order."""
        raise NotImplementedError

    def test_everything_is_written_when_it_returns(self, journal: Journal) -> None:
        """In the order given."""
        journal.deliver([_entry(1), _entry(2), _entry(3)])
        assert [line[0] for line in self.written(journal)] == [1, 2, 3]

    def test_nothing_to_deliver_is_no_error(self, journal: Journal) -> None:
        """An empty delivery writes nothing."""
        journal.deliver([])
        assert self.written(journal) == []

    @pytest.mark.parametrize("key", ["인사규정/휴가.txt", "a b%20+'\"\n.md", "x" * 1_024, "\udce9.txt"])
    def test_any_key_can_be_written(self, journal: Journal, key: str) -> None:
        """Korean, quotes, line breaks, long names, names that are no valid text."""
        journal.deliver([_entry(7, key)])
        assert self.written(journal) == [(7, key, "indexed")]

    def test_a_repeated_delivery_is_recognisable(self, journal: Journal) -> None:
        """The same ids may come again after an error; a reader sees each id, and can drop doubles."""
        journal.deliver([_entry(1), _entry(2)])
        journal.deliver([_entry(2), _entry(3)])
        assert list(dict.fromkeys(line[0] for line in self.written(journal))) == [1, 2, 3]

    def test_threads_may_share_it(self, journal: Journal) -> None:
        """No entry is lost between two callers."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: journal.deliver([_entry(number)]), range(100)))
        assert {line[0] for line in self.written(journal)} == set(range(100))

    def test_it_can_be_checked(self, journal: Journal) -> None:
        """One line for people, and nothing written."""
        assert journal.check()
        assert self.written(journal) == []
