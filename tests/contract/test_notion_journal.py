"""The journal in Notion keeps the contract, through the real SDK against a server of its API."""

import re
from collections.abc import Iterator

import pytest

from s3_to_milvus.adapters.journals.notion import NotionClient, NotionJournal, create_database
from s3_to_milvus.ports import Journal
from s3_to_milvus.testing.contracts.journal import JournalContract
from tests.support.notion_server import ORIGINAL, TOKEN, NotionServer, notion_server, plain


def _journal(server: NotionServer, database_id: str, **more: object) -> NotionJournal:
    given = {"token": TOKEN, "database_id": database_id, "base_url": server.url, "settle_s": 0}
    return NotionJournal(NotionJournal.Options.model_validate({**given, "requests_per_second": 1e6, **more}))


def _as_given(name: str) -> str:
    """A key, from its readable form: bytes that are no text stand there as escapes."""
    return re.sub(r"\\u(d[89a-f]..)", lambda found: chr(int(found[1], 16)), name)


@pytest.fixture
def server() -> Iterator[NotionServer]:
    with notion_server() as server:
        yield server


class TestOwnDatabase(JournalContract):
    """A database that `create_database` made."""

    @pytest.fixture
    def journal(self, server: NotionServer) -> Journal:
        self.server = server
        client = NotionClient(TOKEN, base_url=server.url)
        return _journal(server, create_database(client, f"https://app.notion.com/p/Team-{'0a' * 16}?v={'1b' * 16}"))

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        return [
            (int(plain(row, "Job ID").split("-")[0]), _as_given(plain(row, "File")), plain(row, "Status"))
            for row in self.server.rows()
        ]


class TestOriginalDatabase(JournalContract):
    """The original system's database: other words, no property for the job's id or the bucket."""

    @pytest.fixture
    def journal(self, server: NotionServer) -> Journal:
        self.server = server
        return _journal(server, server.add_database(ORIGINAL))

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        words = {"Passed": "indexed", "Failed": "failed"}
        return [
            (
                int(re.findall(r"\[s2m:(\d+)-\w{16}\]$", plain(row, "Message"))[0]),
                _as_given(plain(row, "Title").removeprefix("bucket/")),
                words[plain(row, "Status")],
            )
            for row in self.server.rows()
        ]


class TestTitleAlone(JournalContract):
    """A database with nothing but the title that every database has."""

    @pytest.fixture
    def journal(self, server: NotionServer) -> Journal:
        self.server = server
        return _journal(server, server.add_database({"Name": {"title": {}}}))

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        form = re.compile(r"bucket/(.*) \((\w+): replace: 3 chunks\) \[s2m:(\d+)-\w{16}\]", re.DOTALL)
        found = [form.fullmatch(plain(row, "Name")) for row in self.server.rows()]
        return [(int(each[3]), _as_given(each[1]), each[2]) for each in found if each]
