"""The real line over buckets of a server that speaks S3: hostile keys, changes, refusals, what must not be removed."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from s3_to_milvus.domain.objects import EventType, ObjectEvent, ObjectRef
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.errors import RemovalGuard, Unauthorized, Unavailable
from s3_to_milvus.testing.contracts.object_store import HOSTILE_KEYS
from tests.support.application import until
from tests.support.line import Line, line_over
from tests.support.ministack import Ministack, running_ministack

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Open = Callable[..., AbstractContextManager[Line]]


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    with running_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


class Bucket:
    """One bucket, by the vendor's own client."""

    def __init__(self, client: "S3Client") -> None:
        self.name = f"line-{uuid.uuid4().hex[:12]}"
        self.client = client
        self.uri = f"s3://{self.name}"
        client.create_bucket(Bucket=self.name)

    def put(self, key: str, text: str) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=text.encode())

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.client.delete_object(Bucket=self.name, Key=key)


@pytest.fixture
def bucket(ministack: Ministack) -> Bucket:
    session = boto3.session.Session(ministack.access_key_id, ministack.secret_access_key, region_name=ministack.region)
    return Bucket(session.client("s3", endpoint_url=ministack.endpoint_url))


@pytest.fixture
def another(bucket: Bucket) -> Bucket:
    return Bucket(bucket.client)


@pytest.fixture
def open_line(ministack: Ministack, tmp_path: Path) -> Open:
    def open_over(
        *sources: str, endpoint_url: str = ministack.endpoint_url, **settings: Any
    ) -> AbstractContextManager[Line]:
        return line_over(
            tmp_path / "data",
            sources,
            store__s3__endpoint_url=endpoint_url,
            store__s3__region=ministack.region,
            store__s3__access_key_id=ministack.access_key_id,
            store__s3__secret_access_key=ministack.secret_access_key,
            engine__guard_objects=5,
            **settings,
        )

    return open_over


def _word(number: int) -> str:
    return f"낱말{number:04d}qz"


def test_every_hostile_key_is_found_by_its_own_word(bucket: Bucket, open_line: Open) -> None:
    keys = sorted(HOSTILE_KEYS)
    for number, key in enumerate(keys):
        bucket.put(key, f"{_word(number)} 하나뿐인 말")
    bucket.put("folder marker/", "")
    with open_line(bucket.uri) as line:
        report = line.sync()
        assert (report.added, report.failed, report.empty) == (len(keys), 0, 0)
        assert line.indexed() == set(keys)
        for number, key in enumerate(keys):
            hit = line.hits(_word(number), 1)[0]
            assert (hit.key, hit.bucket) == (key, bucket.name)
            assert _word(number) in hit.text
        line.expect_equal()
        again = line.sync()
        assert (again.unchanged, again.chunks) == (len(keys), 0)


def test_hostile_keys_change_and_vanish_exactly(bucket: Bucket, open_line: Open) -> None:
    keys = sorted(HOSTILE_KEYS)
    for number, key in enumerate(keys):
        bucket.put(key, f"{_word(number)} früher")
    with open_line(bucket.uri) as line:
        line.sync()
        changed, gone = keys[::3], keys[1::3]
        for key in changed:
            bucket.put(key, f"{_word(1_000 + keys.index(key))} später")
        bucket.delete(*gone)
        with pytest.raises(RemovalGuard):
            line.sync()
        wanted = {key: [f"{_word(1_000 + keys.index(key))} später"] for key in changed}
        until(lambda: {key: line.shown()[key] for key in changed} == wanted)
        assert set(line.shown()) == set(keys), "what is asked about stays"
        assert line.sync(is_removal_confirmed=True).removed == len(gone)
        shown = line.shown()
        assert shown.keys() == set(keys) - set(gone)
        assert {key: shown[key] for key in changed} == wanted
        line.expect_equal()


def test_an_event_says_only_where_to_look(bucket: Bucket, open_line: Open) -> None:
    bucket.put("보고/a+b 100%.txt", "느티나무 보고서")
    bucket.put("보고/other.txt", "참나무 보고서")
    key = "보고/a+b 100%.txt"
    with open_line(bucket.uri) as line:
        taken = line.mirror.take([ObjectEvent(ObjectRef(bucket.name, key), EventType.DELETE)])
        assert taken.refs == (ObjectRef(bucket.name, key),)
        until(lambda: line.indexed() == {key})
        bucket.put(key, "은행나무 보고서")
        line.mirror.take([ObjectEvent(ObjectRef(bucket.name, key), EventType.DELETE)] * 3)
        until(lambda: line.shown().get(key) == ["은행나무 보고서"])
        bucket.delete(key)
        line.mirror.take([ObjectEvent(ObjectRef(bucket.name, key), EventType.UPLOAD)])
        until(lambda: line.shown() == {})
        line.mirror.take([ObjectEvent(ObjectRef(bucket.name, "never/was.txt"))])
        until(lambda: not line.mirror.status().counts.waiting and not line.mirror.status().counts.running)
        assert line.mirror.status().counts.failed == 0
        ignored = line.mirror.take([ObjectEvent(ObjectRef("another-bucket", key))]).ignored
        assert [ref.bucket for ref, _ in ignored] == ["another-bucket"]


def test_a_bucket_that_was_deleted_removes_nothing(bucket: Bucket, open_line: Open) -> None:
    bucket.put("a.txt", "느티나무")
    with open_line(bucket.uri) as line:
        line.sync()
        bucket.delete("a.txt")
        bucket.client.delete_bucket(Bucket=bucket.name)
        with pytest.raises((Unavailable, Unauthorized), match=bucket.name):
            line.sync()
        ref = ObjectRef(bucket.name, "a.txt")
        line.mirror.take([ObjectEvent(ref, EventType.DELETE)])
        until(lambda: _error_of(line, ref) != "")
        assert line.shown() == {"a.txt": ["느티나무"]}


def test_a_refusal_removes_nothing_and_is_named(bucket: Bucket, open_line: Open) -> None:
    bucket.put("a.txt", "느티나무")
    with open_line(bucket.uri) as line:
        line.sync()
    bucket.delete("a.txt")
    with _refusing() as url, open_line(bucket.uri, endpoint_url=url) as line:
        with pytest.raises(Unauthorized):
            line.sync()
        line.mirror.take([ObjectEvent(ref := ObjectRef(bucket.name, "a.txt"), EventType.DELETE)])
        until(lambda: "Grant s3:GetObject" in _error_of(line, ref))
        assert line.mirror.status().held is None
        assert line.shown() == {"a.txt": ["느티나무"]}
    with open_line(bucket.uri) as line:
        assert line.sync(is_removal_confirmed=True).removed == 1
        assert line.shown() == {}


def test_a_bucket_that_was_emptied_asks_first(bucket: Bucket, open_line: Open) -> None:
    for number in range(4):
        bucket.put(f"{number}.txt", f"text {number}")
    with open_line(bucket.uri) as line:
        line.sync()
        bucket.delete(*(f"{number}.txt" for number in range(4)))
        with pytest.raises(RemovalGuard, match="empty") as caught:
            line.sync()
        assert (caught.value.removals, caught.value.indexed) == (4, 4)
        assert len(line.shown()) == 4
        assert line.sync(is_removal_confirmed=True).removed == 4
        assert line.stored() == 0


def test_only_what_lies_below_the_prefix_is_mirrored(bucket: Bucket, open_line: Open) -> None:
    bucket.put("보고/2026/a.txt", "느티나무")
    bucket.put("보고/2026.txt", "참나무")
    bucket.put("보고서.txt", "은행나무")
    with open_line(f"{bucket.uri}/보고/") as line:
        assert line.sync().added == 2
        assert set(line.shown()) == {"보고/2026/a.txt", "보고/2026.txt"}
        outside = ObjectRef(bucket.name, "보고서.txt")
        assert [ref for ref, _ in line.mirror.take([ObjectEvent(outside)]).ignored] == [outside]
        bucket.delete("보고/2026.txt")
        assert line.sync().removed == 1
        line.expect_equal()
        assert {each.spec.label for each in line.mirror.status().collections if each.objects} == {"보고"}


def test_an_event_opens_its_bucket_but_never_more_than_the_settings_say(
    bucket: Bucket, another: Bucket, open_line: Open
) -> None:
    for each in (bucket, another):
        each.put("docs/a.txt", f"느티나무 {each.name}")
        each.put("more/b.txt", f"참나무 {each.name}")
    with open_line(f"{another.uri}/docs/") as line:
        line.sync()
    events = [ObjectEvent(ObjectRef(each.name, "more/b.txt")) for each in (bucket, another)]
    with open_line(f"{bucket.uri}/docs/", "s3://*") as line:
        line.sync()
        taken = line.mirror.take([*events, ObjectEvent(ObjectRef("line-nobody", "a.txt"))])
        assert [ref.bucket for ref in taken.refs] == [another.name]
        assert {ref.bucket: reason for ref, reason in taken.ignored} == {
            bucket.name: "No source of this service covers that key.",
            "line-nobody": "listing 'line-nobody': there is no such bucket",
        }
        until(lambda: "more/b.txt" in line.shown())
    with open_line(f"{bucket.uri}/docs/", f"{another.uri}/docs/", "s3://*") as line:
        assert line.mirror.take(events).refs == ()  # what the settings say is more than what was opened once
    with open_line(f"{bucket.uri}/docs/", "s3://*") as line:
        assert [(hit.bucket, hit.key) for hit in line.hits("참나무")][:1] == [(another.name, "more/b.txt")]
        assert line.mirror.check(line.application.sources).is_ok


def test_a_name_written_wrong_is_not_remembered(bucket: Bucket, open_line: Open) -> None:
    with open_line("s3://line-written-wrong") as line:
        with pytest.raises(Unavailable, match="no such bucket"):
            line.sync()
        assert line.mirror.parts.ledger.sources() == []
    with open_line(bucket.uri) as line:
        line.sync()
        (entry,) = line.mirror.parts.ledger.sources()
        assert (entry.uri, entry.last_scan_at is not None) == (f"{bucket.uri}/", True)
        assert line.mirror.check(line.application.open_known_sources()).is_ok


def test_a_first_scan_that_was_cut_off_leaves_its_bucket_known(bucket: Bucket, open_line: Open) -> None:
    """Also one of a data folder from before sources were remembered by their scans."""
    bucket.put("a.txt", "느티나무")
    with open_line(bucket.uri) as line:
        line.mirror.take([ObjectEvent(ObjectRef(bucket.name, "a.txt"))])
        until(lambda: line.indexed() == {"a.txt"})
        line.mirror.parts.ledger.put_source(line.source)  # without the time of a whole scan
    bucket.delete("a.txt")
    with open_line() as line:
        report = line.mirror.check(line.application.open_known_sources())
        assert [each.ref.key for each in report.stale] == ["a.txt"]


def test_what_the_settings_name_is_known_before_it_could_be_listed(bucket: Bucket, open_line: Open) -> None:
    """So that its objects are found, and `check` fails rather than say that all is well."""
    with open_line(source=["s3://line-not-yet"]) as line:
        (entry,) = line.application.open_known_sources()
        assert entry.uri == "s3://line-not-yet/"
        with pytest.raises(Unavailable, match="no such bucket"):
            line.mirror.check(line.application.open_known_sources())
    with open_line(source=[bucket.uri]) as line:  # corrected: what it was called before counts no more
        line.mirror.sync(line.application.open_known_sources()[0])
        assert line.mirror.check(line.application.open_known_sources()).is_ok


def test_overwritten_while_it_is_synced_it_ends_as_the_last_version(bucket: Bucket, open_line: Open) -> None:
    keys = [f"{number}.txt" for number in range(12)]
    done = threading.Event()

    def overwrite() -> None:
        for turn in range(8):
            for key in keys:
                bucket.put(key, f"{key} {'erste Hälfte' * 50}\n\n{key} turn {turn}")
        done.set()

    with open_line(bucket.uri) as line:
        writer = threading.Thread(target=overwrite)
        writer.start()
        while not done.is_set():
            line.sync()
            for texts in line.shown().values():
                turns = {text.rsplit("turn ", 1)[-1] for text in texts if "turn" in text}
                assert len(turns) == 1, "parts of two versions"
        writer.join()
        line.sync()
        shown = line.shown()
        assert {key: texts[-1][-6:] for key, texts in shown.items()} == dict.fromkeys(keys, "turn 7")
        line.expect_equal()


def _error_of(line: Line, ref: ObjectRef) -> str:
    status = line.mirror.parts.ledger.status(ref)
    return status.error if status is not None and status.state is ObjectState.WAITING else ""


class _Refusal(BaseHTTPRequestHandler):
    """A server that answers 403 to everything."""

    def do_GET(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def _refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusal) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
