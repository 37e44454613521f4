"""The consumer of SQS against a real server of its protocol: the contract, batches, quarantine, stops, refusals."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from s3_to_milvus.adapters.events.notification import decode_each
from s3_to_milvus.adapters.events.sqs import SqsEvents
from s3_to_milvus.domain.objects import ObjectEvent, ObjectRef
from s3_to_milvus.domain.quarantine import Refused
from s3_to_milvus.errors import ConfigError, Unavailable
from s3_to_milvus.ports import EventSource
from s3_to_milvus.testing.contracts.event_source import Collector, EventSourceContract, running
from tests.support.application import until
from tests.support.line import line_over
from tests.support.ministack import Ministack, running_ministack


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    with running_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture
def client(server: Ministack) -> Iterator[Any]:
    client = boto3.client(
        "sqs",
        endpoint_url=server.endpoint_url,
        region_name=server.region,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
    )
    yield client
    client.close()


@pytest.fixture
def queue(client: Any, request: pytest.FixtureRequest) -> str:
    name = f"q{abs(hash(request.node.nodeid))}"
    url: str = client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
    return url


@pytest.fixture
def refused() -> list[Refused]:
    return []


@pytest.fixture
def source(server: Ministack, queue: str, refused: list[Refused]) -> SqsEvents:
    return _source(server, queue, refused)


def _source(server: Ministack, queue: str, refused: list[Refused]) -> SqsEvents:
    options = SqsEvents.Options.model_validate(
        {
            "queue_url": queue,
            "region": server.region,
            "endpoint_url": server.endpoint_url,
            "access_key_id": server.access_key_id,
            "secret_access_key": server.secret_access_key,
            "visibility_s": 2,
        }
    )

    def keep(bodies: Sequence[Refused], source: str) -> None:
        assert source == "sqs"
        refused.extend(bodies)

    return SqsEvents(options, decode_each, keep)


def _body(ref: ObjectRef) -> str:
    return json.dumps({"bucket": ref.bucket, "key": ref.key})


class TestSqs(EventSourceContract):
    @pytest.fixture
    def source(self, server: Ministack, queue: str) -> EventSource:
        return _source(server, queue, [])

    @pytest.fixture
    def bucket(self) -> str:
        return "docs"

    @pytest.fixture(autouse=True)
    def _sender(self, client: Any, queue: str) -> None:
        self._client, self._queue = client, queue

    def change(self, source: EventSource, ref: ObjectRef, number: int) -> None:
        self._client.send_message(QueueUrl=self._queue, MessageBody=_body(ref))


def _left(client: Any, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = client.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_poison_goes_into_quarantine_and_holds_nothing_up(
    client: Any, queue: str, source: SqsEvents, refused: list[Refused]
) -> None:
    for body in ("no json", '{"odd": 1}', _body(ObjectRef("docs", "한글.txt"))):
        client.send_message(QueueUrl=queue, MessageBody=body)
    collector = Collector()
    with running(source, collector):
        assert collector.wait(lambda seen: seen.names(ObjectRef("docs", "한글.txt")))
        until(lambda: _left(client, queue) == 0)
    assert sorted(each.body for each in refused) == ["no json", '{"odd": 1}']
    assert _left(client, queue) == 0


def test_a_message_is_not_deleted_before_its_events_are_durable(client: Any, queue: str, source: SqsEvents) -> None:
    client.send_message(QueueUrl=queue, MessageBody=_body(ObjectRef("docs", "a.txt")))
    seen_while_taking: list[int] = []

    def emit(events: Sequence[ObjectEvent]) -> None:
        seen_while_taking.append(_left(client, queue))

    source.run(emit, lambda: bool(seen_while_taking))
    assert seen_while_taking == [1]
    assert _left(client, queue) == 0


def test_one_that_cannot_be_taken_now_does_not_keep_the_others(client: Any, queue: str, source: SqsEvents) -> None:
    for key in ("a.txt", "refused.txt", "b.txt"):
        client.send_message(QueueUrl=queue, MessageBody=_body(ObjectRef("docs", key)))
    taken: set[str] = set()

    def emit(events: Sequence[ObjectEvent]) -> None:
        keys = {event.ref.key for event in events}
        if "refused.txt" in keys:
            raise Unavailable("Its bucket does not answer.")
        taken.update(keys)

    source.run(emit, lambda: len(taken) == 2)
    assert taken == {"a.txt", "b.txt"}
    assert _left(client, queue) == 1


def test_what_cannot_be_taken_yet_is_not_quarantined_each_time(
    client: Any, queue: str, source: SqsEvents, refused: list[Refused]
) -> None:
    half = [json.loads(_body(ObjectRef("docs", "a.txt"))), {"odd": 1}]
    client.send_message(QueueUrl=queue, MessageBody=json.dumps(half))
    tries: list[int] = []

    def emit(events: Sequence[ObjectEvent]) -> None:
        tries.append(len(refused))
        if len(tries) < 5:
            raise Unavailable("Its bucket does not answer.")

    until(lambda: _ran(source, emit) and len(tries) >= 5)
    assert tries[:5] == [0] * 5
    assert [json.loads(each.body) for each in refused] == [{"odd": 1}]


def _ran(source: SqsEvents, emit: Any) -> bool:
    """Until the first message is taken, or once."""
    done: list[int] = []

    def once(events: Sequence[ObjectEvent]) -> None:
        done.append(1)
        emit(events)

    with suppress(Unavailable):
        source.run(once, lambda: bool(done))
    return True


def test_a_queue_that_is_not_there_is_named(server: Ministack) -> None:
    given = {"region": server.region, "access_key_id": "x", "secret_access_key": "x"}
    url = f"{server.endpoint_url}/000000000000/nowhere"
    source = _made({**given, "endpoint_url": server.endpoint_url, "queue_url": url})
    with pytest.raises(ConfigError, match="no such queue"):
        source.check()
    with pytest.raises(ConfigError, match="queue_url is not set"):
        _made({})
    away = _made({**given, "endpoint_url": "http://127.0.0.1:9", "queue_url": "http://127.0.0.1:9/q"})
    with pytest.raises(Unavailable):
        away.check()


def _made(options: dict[str, str]) -> SqsEvents:
    return SqsEvents(SqsEvents.Options.model_validate(options), decode_each, lambda bodies, source: None)


def test_s3_tells_the_service_by_the_queue(server: Ministack, client: Any, queue: str, tmp_path: Path) -> None:
    """The whole road: a Korean key is put, the queue tells, the text can be searched; then it is deleted."""
    credentials: Any = {"aws_access_key_id": server.access_key_id, "aws_secret_access_key": server.secret_access_key}
    s3 = boto3.client("s3", endpoint_url=server.endpoint_url, region_name=server.region, **credentials)
    s3.create_bucket(Bucket="sqs-road")
    arn = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rules: Any = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket="sqs-road", NotificationConfiguration={"QueueConfigurations": rules}
    )
    keys = {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
    place = {"region": server.region, "endpoint_url": server.endpoint_url}
    settings = {
        "events__kind": "sqs",
        "events__sqs": {"queue_url": queue, "visibility_s": 5, **keys, **place},
        "store__s3": {**keys, **place},
        "engine__scan_interval_s": 0,
    }
    with line_over(tmp_path / "data", ["s3://sqs-road/"], **settings) as line:
        line.application.service.start()
        until(lambda: line.application.service.is_ready)
        s3.put_object(Bucket="sqs-road", Key="인사/휴가 규정+1.txt", Body="연차휴가는 15일이다.".encode())
        until(lambda: "인사/휴가 규정+1.txt" in line.indexed())
        s3.delete_object(Bucket="sqs-road", Key="인사/휴가 규정+1.txt")
        until(lambda: not line.records())
        line.expect_equal()
    s3.close()
