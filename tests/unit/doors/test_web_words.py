"""The pure parts of the HTTP door."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.domain.records import ObjectState, ObjectStatus
from s3_to_milvus.engine.intake import Taken
from s3_to_milvus.errors import ConfigError, Unavailable
from s3_to_milvus.web.gate import is_own_name
from s3_to_milvus.web.intake import Intake
from s3_to_milvus.web.jobs import Job, Jobs
from s3_to_milvus.web.listening import address_of_server, url_of
from s3_to_milvus.web.paging import after_of, next_of
from s3_to_milvus.web.words import language_of, translator
from tests.support.application import until
from tests.support.patience import SOON_S

DEFAULT = ("127.0.0.1", 8510)


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        (["s3-to-milvus", "serve", "--port", "1"], {}, DEFAULT),
        (["/usr/bin/uvicorn", "main:app"], {}, ("127.0.0.1", 8000)),
        (["/usr/bin/uvicorn", "main:app", "--host", "0.0.0.0", "--port", "9000"], {}, ("0.0.0.0", 9000)),
        (["/lib/uvicorn/__main__.py", "main:app", "--port=9000"], {}, ("127.0.0.1", 9000)),
        (["uvicorn", "main:app"], {"UVICORN_PORT": "9001", "UVICORN_HOST": "::1"}, ("::1", 9001)),
        (["uvicorn", "main:app", "--port"], {}, ("127.0.0.1", 8000)),
        ([], {}, DEFAULT),
    ],
)
def test_the_address_is_read_from_how_uvicorn_was_started(
    argv: list[str], environ: dict[str, str], expected: tuple[str, int]
) -> None:
    assert address_of_server(DEFAULT, argv, environ) == expected


def test_a_url_that_commands_on_this_machine_can_use() -> None:
    assert url_of("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert url_of("::", 1) == "http://[::1]:1"
    assert url_of("192.168.0.9", 1) == "http://192.168.0.9:1"


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True),
        ("LOCALHOST:8510", True),
        ("docs.localhost", True),
        ("127.0.0.1:8510", True),
        ("[::1]:8510", True),
        ("::1", True),
        ("192.168.0.9", True),
        ("docs.example.org:80", True),
        ("evil.example", False),
        ("localhost.evil.example:8510", False),
        ("127.0.0.1.evil.example", False),
        ("[::1].evil.example", False),
        ("", False),
    ],
)
def test_a_rebound_domain_name_is_not_ours(host: str, is_own: bool) -> None:
    assert is_own_name(host, ["docs.example.org"]) is is_own


@pytest.mark.parametrize(
    ("wanted", "accepted", "language"),
    [
        ("ko", "en", "ko"),
        ("xx", "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        (None, "", "en"),
        (None, "fr, en;q=0.3, ko;q=0.7", "ko"),
        (None, "ko;q=0, de", "en"),
        (None, "ko;q=banana", "ko"),
        (None, ";;;,,q=", "en"),
    ],
)
def test_the_language_a_reader_wants(wanted: str | None, accepted: str, language: str) -> None:
    assert language_of(wanted, accepted) == language


def test_words_without_a_translation_stay() -> None:
    assert translator("ko")("Search") == "검색"
    assert translator("ko")("never translated") == "never translated"
    assert translator("en")("Search") == "Search"


@pytest.mark.parametrize("key", ["a.txt", "휴가 %2B+.md", "caf\udce9", "x" * 1024, '"}]'])
def test_a_page_mark_names_any_object(key: str) -> None:
    ref = ObjectRef("docs", key)
    page = [ObjectStatus(ref, ObjectState.INDEXED, None)]
    assert after_of(next_of(page, 1)) == ref
    assert next_of(page, 2) is None


@pytest.mark.parametrize("mark", ["x", "****", "W10=", "WzEsMl0=", "bnVsbA==", "가"])
def test_a_foreign_page_mark_is_refused(mark: str) -> None:
    with pytest.raises(ConfigError):
        after_of(mark)


def _events(name: str) -> list[ObjectEvent]:
    return [ObjectEvent(ObjectRef("docs", name))]


def test_events_that_come_together_are_one_commit() -> None:
    batches: list[int] = []

    def take(events: Sequence[ObjectEvent]) -> Taken:
        batches.append(len(events))
        refs = tuple(event.ref for event in events)
        return Taken(refs[:-1], ((refs[-1], "the last one"),))

    async def main() -> list[list[str]]:
        intake = Intake(take)
        try:
            return await asyncio.gather(*(intake.take(_events(f"{number}.txt")) for number in range(50)))
        finally:
            intake.close()

    answers = asyncio.run(main())
    assert batches == [50]
    assert answers == [[""]] * 49 + [["the last one"]]


def test_everyone_in_a_batch_that_failed_is_told() -> None:
    def take(events: Sequence[ObjectEvent]) -> Taken:
        raise Unavailable("the disk is away")

    async def main() -> list[object]:
        intake = Intake(take)
        try:
            found = await asyncio.gather(
                *(intake.take(_events(str(each))) for each in range(3)), return_exceptions=True
            )
            return list(found)
        finally:
            intake.close()

    assert [type(each) for each in asyncio.run(main())] == [Unavailable] * 3


def test_a_bucket_that_cannot_be_looked_at_delays_and_fails_for_nobody_else() -> None:
    released = threading.Event()

    def take(events: Sequence[ObjectEvent]) -> Taken:
        return Taken(tuple(event.ref for event in events))

    def open_buckets(events: Sequence[ObjectEvent]) -> dict[str, str]:
        assert released.wait(SOON_S)
        raise Unavailable("S3 does not answer.")

    async def main() -> list[str]:
        intake = Intake(take, lambda events: events[0].ref.key != "strange", open_buckets)
        strange = asyncio.create_task(intake.take(_events("strange")))
        await asyncio.sleep(0)
        answer = await intake.take(_events("here"))
        assert not strange.done()
        released.set()
        with pytest.raises(Unavailable):
            await strange
        intake.close()
        return answer

    assert asyncio.run(main()) == [""]


def test_why_a_bucket_could_not_be_opened_is_told_to_who_asked() -> None:
    def take(events: Sequence[ObjectEvent]) -> Taken:
        return Taken((), tuple((event.ref, "No source holds it.") for event in events))

    async def main() -> list[str]:
        intake = Intake(take, lambda events: False, lambda events: {"docs": "There is no such bucket."})
        answer = await intake.take(_events("here"))
        intake.close()
        return answer

    assert asyncio.run(main()) == ["There is no such bucket."]


def test_a_caller_that_went_away_does_no_harm() -> None:
    taken: list[str] = []

    def take(events: Sequence[ObjectEvent]) -> Taken:
        taken.extend(event.ref.key for event in events)
        return Taken(tuple(event.ref for event in events))

    async def main() -> list[str]:
        intake = Intake(take)
        gone = asyncio.create_task(intake.take(_events("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        answer = await intake.take(_events("here"))
        intake.close()
        return answer

    assert asyncio.run(main()) == [""]
    assert taken == ["gone", "here"]


def test_jobs_end_as_they_should_and_only_so_many_run() -> None:
    jobs = Jobs()

    def fails(job: Job) -> None:
        raise ConfigError("no such folder")

    def breaks(job: Job) -> None:
        raise KeyError("x")

    def works(job: Job) -> None:
        job.report = {"ok": True}

    ends = [jobs.start("sync", work) for work in (fails, breaks, works)]
    until(lambda: all(job.state != "running" for job in ends))
    assert [job.state for job in ends] == ["failed", "failed", "done"]
    assert [job.problem and job.problem["code"] for job in ends] == ["config", "defect", None]
    assert jobs.get("sync", ends[0].id) is ends[0]
    assert jobs.get("check", ends[0].id) is None

    is_over = [False]
    waiting = [jobs.start("sync", lambda job: until(lambda: is_over[0])) for _ in range(8)]
    with pytest.raises(Unavailable):
        jobs.start("sync", works)
    is_over[0] = True
    until(lambda: all(job.state == "done" for job in waiting))
