"""The apprise journal keeps the contract where it tells of all jobs; addresses are served one by one, none is shown."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pydantic import ValidationError

from s3_to_milvus.adapters.journals.apprise import AppriseJournal
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import JournalEntry
from s3_to_milvus.errors import ConfigError, TransientError
from s3_to_milvus.ports import Journal
from s3_to_milvus.testing.contracts.journal import JournalContract
from tests.support.receiver import Answer, Receiver, receiver
from tests.support.told import jobs_told

# The library itself looks for a module that Python 3.13 no longer has.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


def _address(server: Receiver, schema: str = "json") -> str:
    return server.url.replace("http://", f"{schema}://user:pass-word@")


def _journal(*servers: Receiver, mode: str = "failures", schema: str = "json") -> AppriseJournal:
    given = {"url_secrets": [_address(server, schema) for server in servers], "mode": mode}
    return AppriseJournal(AppriseJournal.Options.model_validate(given))


def _entry(number: int, outcome: str = "failed", key: str = "a.pdf", message: str = "") -> JournalEntry:
    return JournalEntry(number, ObjectRef("bucket", key), "bury", outcome, 1_700_000_000.0, 1.25, message)


def _texts(server: Receiver) -> list[str]:
    return [json.loads(body)["message"] for _, _, body in server.taken]


def _numbers(server: Receiver) -> list[int]:
    return [int(number) for text in _texts(server) for number in re.findall(r"#(\d+)\)", text)]


class TestAppriseJournal(JournalContract):
    @pytest.fixture
    def journal(self, server: Receiver) -> Journal:
        self.server = server
        return _journal(server, mode="all")

    def written(self, journal: Journal) -> list[tuple[int, str, str]]:
        return jobs_told(_texts(self.server))


def test_only_failures_by_default(server: Receiver) -> None:
    _journal(server).deliver([_entry(1, "indexed"), _entry(2), _entry(3, "empty")])
    [(path, headers, body)] = server.taken
    assert path.endswith("/secret-path")
    assert headers["Authorization"].startswith("Basic ")
    told = json.loads(body)
    assert (told["title"], told["message"]) == ("s3-to-milvus", "failed: bucket/a.pdf (bury, 1.2 s, #2)")


def test_a_summary_is_one_line(server: Receiver) -> None:
    _journal(server, mode="summary").deliver([_entry(1), _entry(2, "indexed"), _entry(3, "indexed")])
    assert _texts(server) == ["3 jobs: 2 indexed, 1 failed"]


def test_a_hundred_failures_are_few_messages(server: Receiver) -> None:
    _journal(server).deliver([_entry(number, message="x" * 2_000) for number in range(100)])
    assert len(server.taken) <= 12
    assert max(map(len, _texts(server))) <= 3_500
    assert _numbers(server) == list(range(100))


@pytest.mark.parametrize("answer", [Answer(500), Answer(401), Answer(404), Answer(429), Answer(0), Answer(302)])
def test_every_failure_is_tried_again_later(server: Receiver, answer: Answer) -> None:
    journal = _journal(server)
    entries = [_entry(number, message="x" * 300) for number in range(30)]
    server.answers.extend([Answer(is_taken=True), answer])
    with pytest.raises(TransientError) as caught:
        journal.deliver(entries)
    assert "JSON" in caught.value.message
    assert "S2M_JOURNAL__APPRISE__URL_SECRETS" in caught.value.hint
    journal.deliver(entries)
    assert _numbers(server) == list(range(30))


def test_no_redirect_is_followed(server: Receiver) -> None:
    with receiver() as other:
        server.answers.append(Answer(307, {"Location": other.url}))
        with pytest.raises(TransientError):
            _journal(server).deliver([_entry(1)])
        assert other.asked == 0


def test_an_address_that_fails_holds_no_other_and_doubles_nothing() -> None:
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(receiver()) for _ in range(3))
        journal = _journal(first, second, third)
        second.answers.append(Answer(503))
        with pytest.raises(TransientError, match=r"JSON \(address 2\) did not"):
            journal.deliver([_entry(1)])
        assert [_numbers(each) for each in (first, second, third)] == [[1], [], [1]]
        journal.deliver([_entry(1), _entry(2)])
        assert [_numbers(each) for each in (first, second, third)] == [[1, 2], [1, 2], [1, 2]]


def test_one_address_or_many() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(receiver()) for _ in range(2))
        given = {"url_secrets": f"{_address(first)}, {_address(second)}"}
        journal = AppriseJournal(AppriseJournal.Options.model_validate(given))
        journal.deliver([_entry(1)])
        assert [_numbers(each) for each in (first, second)] == [[1], [1]]
        assert "JSON (address 1), JSON (address 2)" in journal.check()


def test_a_line_fits_what_a_service_takes() -> None:
    """Of a text message: 160 characters, the title among them."""
    address = "clickatell://AAAAAAAAAAAAAAAAAAAA/15551232000"
    options = AppriseJournal.Options.model_validate({"url_secrets": address})
    (one,) = AppriseJournal(options)._receivers
    sent: list[str] = []
    one._lines._send = sent.append
    one.tell([_entry(1, key="k" * 500), _entry(2)])
    assert [len(each) for each in sent] == [one._lines._length, len("failed: bucket/a.pdf (bury, 1.2 s, #2)")]
    assert one._lines._length <= 160 - len("s3-to-milvus")


def test_no_secret_is_shown(
    server: Receiver, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(1)
    logging.getLogger("apprise").setLevel(1)  # as an earlier user of the library may have left it
    journal = _journal(server)
    caplog.set_level(logging.WARNING, "urllib3")  # as `configure_logging` does
    server.answers.extend([Answer(500), Answer(0)])
    said = [journal.check()]
    for _ in range(2):
        with pytest.raises(TransientError) as caught:
            journal.deliver([_entry(1)])
        said.append(f"{caught.value} {caught.value.hint} {caught.value.__cause__!r} {caught.value.__context__!r}")
    text = " ".join([*said, caplog.text, *capfd.readouterr(), repr(journal), repr(journal.Options)])
    assert "secret-path" not in text
    assert "pass-word" not in text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("nonsense://secret-path", "nonsense://…"),
        ("slack://secret-path", "slack://…"),
        ("secret-path", "Address 1 is"),
        ("json://secret-path, nonsense://secret-path", "json://…"),
    ],
)
def test_an_address_that_is_none_stops_the_start(address: str, shown: str) -> None:
    options = AppriseJournal.Options.model_validate({"url_secrets": address})
    with pytest.raises(ConfigError, match="Address 1") as caught:
        AppriseJournal(options)
    assert shown in caught.value.message
    assert "secret-path" not in f"{caught.value.message} {caught.value.hint} {options!r}"


@pytest.mark.parametrize("given", [[], None, {}, [7], [["json://secret-path"]]])
def test_options_are_checked(given: object) -> None:
    with pytest.raises(ValidationError) as caught:
        AppriseJournal.Options.model_validate({"url_secrets": given})
    assert "secret-path" not in str(caught.value)


def test_without_the_library_the_command_is_told(server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        _journal(server)
    assert caught.value.hint == "pip install 's3-to-milvus[apprise]'"
