"""What people read in Notion: modes, tables of other makers, limits, and words for what is wrong."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from s3_to_milvus.adapters.journals.notion import NotionClient, NotionJournal, create_database
from s3_to_milvus.adapters.journals.notion.client import id_in
from s3_to_milvus.adapters.journals.notion.setup import PROPERTIES
from s3_to_milvus.adapters.journals.notion.values import status_word
from s3_to_milvus.errors import ConfigError, Rejected, S3ToMilvusError, Unauthorized, Unavailable
from tests.support.notion_entries import entry, journal_for, options_for
from tests.support.notion_server import ORIGINAL, TOKEN, Fault, NotionServer, notion_server, plain
from tests.support.notion_server import column_of as _column

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def server() -> Iterator[NotionServer]:
    with notion_server() as server:
        yield server


def _with(schema: dict[str, Any], **columns: dict[str, Any] | None) -> dict[str, Any]:
    return {name: kind for name, kind in {**schema, **columns}.items() if kind is not None}


def test_a_row_of_our_own_table(server: NotionServer) -> None:
    database_id = create_database(NotionClient(TOKEN, base_url=server.url), ID)
    journal_for(server, database_id).deliver([entry(8, key="인사/휴가.hwp")])
    [row] = server.rows()
    told = {name: plain(row, name) for name in PROPERTIES}
    assert told.pop("Job ID").startswith("8-")
    assert told == {
        "File": "인사/휴가.hwp",
        "Status": "indexed",
        "Action": "replace",
        "Bucket": "bucket",
        "Elapsed Time (s)": 1.25,
        "Timestamp": "2023-11-14T22:13:21.000+00:00",
        "Message": "3 chunks",
    }


def test_a_row_of_the_original_table(server: NotionServer) -> None:
    database_id = server.add_database(ORIGINAL)
    entries = [entry(1), entry(2, outcome="failed", message="damaged"), entry(3, outcome="removed", message="")]
    journal_for(server, database_id).deliver(entries)
    assert _column(server, "Status") == ["Passed", "Failed", "Passed"]
    assert _column(server, "Action") == ["replace", "bury", "remove"]
    assert _column(server, "Title")[0] == "bucket/인사/1.pdf"
    assert [text.split("[s2m:")[0].rstrip() for text in _column(server, "Message")] == ["3 chunks", "damaged", ""]


@pytest.mark.parametrize(
    ("options", "outcome", "is_open", "word"),
    [
        (["Passed", "Failed"], "indexed", True, "Passed"),
        (["Passed", "Failed"], "empty", True, "Failed"),
        (["Passed"], "failed", True, "Failed"),
        (["success", "failure"], "removed", False, "success"),
        (["Success", "Failure"], "failed", False, "Failure"),
        (["성공", "실패"], "failed", False, "실패"),
        (["Indexed", "Failed"], "indexed", False, "Indexed"),
        (["Not started", "Done"], "indexed", False, "Done"),
        (["Not started", "Done"], "failed", False, None),
        ([], "empty", True, "empty"),
    ],
)
def test_status_words(options: list[str], outcome: str, is_open: bool, word: str | None) -> None:
    assert status_word(outcome, options, is_open=is_open) == word


def test_other_types_and_missing_columns(server: NotionServer) -> None:
    schema = _with(
        ORIGINAL,
        **{
            "Status": {"status": {"options": [{"name": "Done"}]}},
            "Action": None,
            "Elapsed Time (s)": {"rich_text": {}},
            "Timestamp": {"created_time": {}},
            "Bucket": {"select": {}},
        },
    )
    database_id = server.add_database(schema)
    journal = journal_for(server, database_id)
    assert "Action, Timestamp, Job ID" in journal.check()
    journal.deliver([entry(1, bucket="a,b"), entry(2, outcome="failed", message="damaged")])
    assert _column(server, "Status") == ["Done", None]
    assert _column(server, "Elapsed Time (s)") == ["1.25", "1.25"]
    assert _column(server, "Bucket") == ["a b", "bucket"]
    messages = [text.split("[s2m:")[0].rstrip() for text in _column(server, "Message")]
    assert messages == ["replace: 3 chunks", "failed: bury: damaged"]


def test_named_columns(server: NotionServer) -> None:
    database_id = server.add_database(_with(PROPERTIES, Ergebnis={"checkbox": {}}))
    journal_for(server, database_id, properties={"status": "Ergebnis"}).deliver([entry(1), entry(2, outcome="empty")])
    assert _column(server, "Ergebnis") == [True, False]
    with pytest.raises(ConfigError, match="property “Laune” of the table of Notion is not there"):
        journal_for(server, database_id, properties={"action": "Laune"}).check()
    with pytest.raises(ConfigError, match="is of the type number; one of"):
        journal_for(server, database_id, properties={"message": "Elapsed Time (s)"}).check()


def test_columns_that_change_are_read_anew(server: NotionServer) -> None:
    database_id = server.add_database(PROPERTIES)
    journal = journal_for(server, database_id)
    journal.deliver([entry(1)])
    columns = server.sources[server.databases[database_id][0]]
    del columns["Message"]
    columns["Status"] = {"name": "Status", "type": "status", "status": {"options": [{"name": "Passed"}]}}
    journal.deliver([entry(2)])
    assert _column(server, "Status") == ["indexed", "Passed"]


def test_a_refusal_names_the_property_and_holds_up_no_other(server: NotionServer) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES))
    said = f"body.properties.Elapsed Time (s).number should be a number, says {TOKEN}"
    server.faults.extend([None, Fault(400, message=said)])
    with pytest.raises(Rejected, match=r"the property “Elapsed Time \(s\)”\.") as caught:
        journal.deliver([entry(1), entry(2), entry(3)])
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    journal.deliver([entry(1), entry(2), entry(3)])
    assert _column(server, "File") == ["인사/1.pdf", "인사/3.pdf", "인사/2.pdf"]


def test_long_texts(server: NotionServer) -> None:
    message = "가😀" * 3_000
    journal_for(server, server.add_database(PROPERTIES)).deliver([entry(1, message=message, key="k" * 1_024)])
    assert _column(server, "Message") == [message]
    journal_for(server, server.add_database(ORIGINAL)).deliver([entry(2, message="😀" * 50_000)])
    told = _column(server, "Message")[1]
    assert told.startswith("😀" * 899 + "… [s2m:2-")


def test_per_file_keeps_the_newest_job(server: NotionServer) -> None:
    database_id = server.add_database(PROPERTIES)
    first, second, third = (entry(number, key="a.pdf", message=str(number)) for number in (1, 2, 3))
    journal = journal_for(server, database_id, mode="per_file")
    journal.deliver([second, entry(4, key="b.pdf")])
    journal.deliver([first, third])
    journal_for(server, database_id, mode="per_file").deliver([second])
    assert _column(server, "File") == ["a.pdf", "b.pdf"]
    assert _column(server, "Message") == ["3", "3 chunks"]


def test_a_row_in_the_trash_is_written_anew(server: NotionServer) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES), mode="per_file")
    journal.deliver([entry(1, key="a.pdf")])
    next(iter(server.pages.values())).is_in_trash = True
    journal.deliver([entry(2, key="a.pdf", message="again")])
    assert _column(server, "Message") == ["again"]


def test_failures_alone(server: NotionServer) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES), mode="failures")
    journal.deliver([entry(1)])
    assert server.requests == []
    journal.deliver([entry(1), entry(2, outcome="failed")])
    assert _column(server, "Status") == ["failed"]


def test_databases_data_sources_and_addresses(server: NotionServer) -> None:
    database_id = server.add_database(PROPERTIES, sources=2)
    second = server.databases[database_id][1]
    journal_for(server, f"https://www.notion.so/team/Jobs-{database_id.replace('-', '')}?v={ID}").deliver([entry(1)])
    journal_for(server, second).deliver([entry(1)])
    assert [page.source for page in server.pages.values()] == server.databases[database_id]


def test_results_of_many_pages(server: NotionServer) -> None:
    server.max_page_size = 7
    database_id = server.add_database(PROPERTIES)
    entries = [entry(number) for number in range(1, 41)]
    for _ in range(2):
        journal_for(server, database_id).deliver(entries)
    assert len(server.rows()) == 40


@pytest.mark.parametrize(
    "text", [ID, ID.upper(), "01234567-89ab-cdef-0123-456789abcdef", f"https://app.notion.com/p/Cafe-{ID}/#x"]
)
def test_ids(text: str) -> None:
    assert id_in(text) == ID


def test_what_is_no_id_is_said(server: NotionServer) -> None:
    with pytest.raises(ValidationError, match="32 hex digits") as caught:
        NotionJournal.Options.model_validate(options_for(server, f"https://notion.so/{TOKEN}"))
    assert TOKEN not in str(caught.value)
    with pytest.raises(ConfigError, match="32 hex digits"):
        create_database(NotionClient(TOKEN, base_url=server.url), "my page")


@pytest.mark.parametrize(
    ("status", "error", "hint"),
    [
        (401, Unauthorized, "NOTION_TOKEN"),
        (403, Unauthorized, "Share the database with the integration"),
        (404, ConfigError, "Share the database with the integration"),
        (400, ConfigError, ""),
        (302, ConfigError, "base URL"),
        (409, Unavailable, ""),
        (504, Unavailable, ""),
    ],
)
def test_failures_come_in_our_words(
    server: NotionServer, caplog: pytest.LogCaptureFixture, status: int, error: type[S3ToMilvusError], hint: str
) -> None:
    journal = journal_for(server, server.add_database(PROPERTIES))
    server.any_faults.extend(Fault(status, message=f"no {TOKEN}") for _ in range(3))
    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        journal.deliver([entry(1)])
    assert hint in caught.value.hint
    assert TOKEN not in f"{caught.value} {caught.value.hint} {caplog.messages}"


def test_a_wrong_token_and_a_database_that_is_not_shared(server: NotionServer) -> None:
    database_id = server.add_database(PROPERTIES)
    with pytest.raises(Unauthorized, match="refuses the token"):
        journal_for(server, database_id, token="wrong").check()
    with pytest.raises(Unauthorized, match="No token"):
        journal_for(server, database_id, token="").check()
    with pytest.raises(ConfigError, match="not shared with the integration"):
        journal_for(server, ID).check()
    assert "per_job" in journal_for(server, database_id).check()
