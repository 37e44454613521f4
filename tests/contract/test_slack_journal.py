"""The Slack journal keeps the contract where it tells of all jobs; by default it tells of failures alone."""

import json
import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from s3_to_milvus.adapters.journals.slack import SlackJournal
from s3_to_milvus.adapters.limits import MemoryLimits
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.errors import ConfigError, RateLimited, Unavailable
from s3_to_milvus.ports import Journal, Limits
from s3_to_milvus.testing.contracts.journal import JournalContract
from s3_to_milvus.testing.fakes.clock import FakeClock
from tests.support.receiver import Answer, Receiver, receiver
from tests.support.told import jobs_told


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


def _journal(server: Receiver, mode: str = "failures", limits: Limits | None = None) -> SlackJournal:
    given = {"url_secret": server.url, "mode": mode, "messages_per_second": 1e6, "timeout_s": 2}
    return SlackJournal(SlackJournal.Options.model_validate(given), limits)


def _entry(number: int, outcome: str = "failed", key: str = "a.pdf", message: str = "") -> JournalEntry:
    return JournalEntry(number, ObjectRef("bucket", key), "bury", outcome, 1_700_000_000.0, 1.25, message)


def _texts(server: Receiver) -> list[str]:
    return [json.loads(body)["text"] for _, _, body in server.taken]


class TestSlackJournal(JournalContract):
    @pytest.fixture
    def journal(self, server: Receiver) -> Journal:
        self.server = server
        return _journal(server, "all")

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        return jobs_told(_texts(self.server))


def test_only_failures_by_default(server: Receiver) -> None:
    _journal(server).deliver([_entry(1, "indexed"), _entry(2), _entry(3, "empty")])
    assert _texts(server) == ["failed: bucket/a.pdf (bury, 1.2 s, #2)"]


def test_a_summary_is_one_line(server: Receiver) -> None:
    entries = [_entry(1), *(_entry(number, "indexed") for number in range(2, 90)), _entry(90, "removed")]
    _journal(server, "summary").deliver(entries)
    assert _texts(server) == ["90 jobs: 88 indexed, 1 removed, 1 failed"]


def test_no_text_is_markup(server: Receiver) -> None:
    _journal(server).deliver([_entry(1, key="<!channel> & *b*.pdf", message="<script>\nnext")])
    [(_, _, body)] = server.taken
    told = json.loads(body)
    assert told["text"] == "failed: bucket/&lt;!channel&gt; &amp; *b*.pdf (bury, 1.2 s, #1) &lt;script&gt; next"
    assert told["mrkdwn"] is False


def test_what_grows_by_being_escaped_fits_nevertheless(server: Receiver) -> None:
    _journal(server).deliver([_entry(1, key="&" * 1_000, message="<" * 1_000), _entry(2, key="a" * 990 + "&" * 600)])
    texts = _texts(server)
    assert max(map(len, texts)) <= 4_000
    assert sum(text.count("\n") + 1 for text in texts) == 2
    assert re.sub("&(amp|lt);", "", texts[0]) == "failed: bucket/…"
    assert re.fullmatch("failed: bucket/a{990}(&amp;)+…", texts[1])


def test_a_hundred_failures_are_few_messages(server: Receiver) -> None:
    _journal(server).deliver([_entry(number, message="x" * 2_000) for number in range(100)])
    assert len(server.taken) <= 12
    assert max(map(len, _texts(server))) <= 4_000
    assert sum(len(text.split("\n")) for text in _texts(server)) == 100


def test_what_was_written_is_not_written_again(server: Receiver) -> None:
    clock = FakeClock()
    journal = _journal(server, limits=MemoryLimits(clock.now, clock.sleep))
    entries = [_entry(number, message="x" * 200) for number in range(100)]
    server.answers.extend([Answer(is_taken=True), Answer(429, {"Retry-After": "30"})])
    with pytest.raises(RateLimited) as caught:
        journal.deliver(entries)
    assert caught.value.retry_after_s == 30
    with pytest.raises(RateLimited):
        journal.deliver(entries)  # nothing is sent before the time that Slack named
    assert len(server.taken) == 1
    clock.advance(30)
    journal.deliver(entries)
    told = [int(number) for text in _texts(server) for number in re.findall(r"#(\d+)\)", text)]
    assert told == list(range(100))


@pytest.mark.parametrize(("status", "error"), [(404, ConfigError), (500, Unavailable), (302, ConfigError)])
def test_the_address_is_never_shown(server: Receiver, status: int, error: type[Exception]) -> None:
    server.answers.append(Answer(status))
    with pytest.raises(error) as caught:
        _journal(server).deliver([_entry(1)])
    assert "secret-path" not in f"{caught.value} {caught.value.__cause__}"


def test_the_address_must_be_encrypted() -> None:
    with pytest.raises(ValidationError) as caught:
        SlackJournal.Options.model_validate({"url_secret": "http://hooks.slack.com/services/T0/B0/secret-path"})
    assert "secret-path" not in str(caught.value)
