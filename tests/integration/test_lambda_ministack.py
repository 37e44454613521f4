"""The whole road by the template as people deploy it: a bucket, a queue, the Lambda, a secret, our address at the end.

ministack runs the function itself, in the Python it was installed for, and its event source mapping polls the queue.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.application import until
from tests.support.deploying import Clients, deployed, packaged_template
from tests.support.forwarding import (
    KOREAN,
    ReceivingService,
    load_function,
    receiving,
    sqs_batch,
    wanted_signature,
)
from tests.support.ministack import Ministack, running_ministack

SECRET = "하나의 ministack-secret"
ARRIVES_S = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    with running_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="module")
def clients(server: Ministack) -> Iterator[Clients]:
    with ExitStack() as opened:
        made: dict[str, Any] = {}

        def client(name: str) -> Any:
            if name not in made:
                new: Any = boto3.client(  # type: ignore[call-overload]
                    name,
                    endpoint_url=server.endpoint_url,
                    region_name=server.region,
                    aws_access_key_id=server.access_key_id,
                    aws_secret_access_key=server.secret_access_key,
                    config=Config(s3={"addressing_style": "path"}, read_timeout=120),
                )
                made[name] = opened.enter_context(closing(new))
            return made[name]

        yield client


@pytest.fixture(scope="module")
def service() -> Iterator[ReceivingService]:
    with receiving() as service:
        yield service


@pytest.fixture(scope="module")
def secret_arn(clients: Clients) -> str:
    made = clients("secretsmanager").create_secret(Name="events", SecretString=json.dumps({"secret": SECRET}))
    return str(made["ARN"])


@pytest.fixture(scope="module")
def template(clients: Clients) -> str:
    return packaged_template(clients)


def _wait_for(service: ReceivingService, key: str, name: str) -> Any:
    """What was sent about a key, whose name is spelled as it is in the body."""

    def found() -> list[Any]:
        return [each for each in list(service.received) if key in each.body.decode() and name in each.body.decode()]

    until(lambda: bool(found()), ARRIVES_S)
    assert found()[0].headers["x-s2m-signature"] == wanted_signature(SECRET, found()[0])
    assert found()[0].path == "/events"
    return found()[0].value


def test_a_korean_object_arrives_by_the_notification_of_the_bucket(
    clients: Clients, template: str, service: ReceivingService, secret_arn: str
) -> None:
    s3 = clients("s3")
    s3.create_bucket(Bucket="docs")
    stack = deployed(clients, template, "plain", BucketName="docs", ServiceUrl=service.url, SecretArn=secret_arn)
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:ObjectRestore:Completed"]
    rule = {"Id": "s3-to-milvus", "QueueArn": stack["QueueArn"], "Events": events}
    s3.put_bucket_notification_configuration(Bucket="docs", NotificationConfiguration={"QueueConfigurations": [rule]})
    s3.put_object(Bucket="docs", Key=KOREAN, Body=b"1")
    encoded = "%ED%95%9C%EA%B8%80+%ED%8F%B4%EB%8D%94/a%2Bb+%281%29.txt"
    body = _wait_for(service, encoded, "ObjectCreated:Put")
    assert body["Records"][0]["s3"]["bucket"]["name"] == "docs"
    s3.delete_object(Bucket="docs", Key=KOREAN)
    _wait_for(service, encoded, "ObjectRemoved:Delete")
    until(lambda: any("s3:TestEvent" in each.body.decode() for each in list(service.received)), ARRIVES_S)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def left(url: str) -> int:
        found = clients("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    until(lambda: left(stack["QueueUrl"]) == 0)
    assert left(stack["DeadLetterQueueUrl"]) == 0


def test_a_message_that_is_not_taken_comes_again(
    clients: Clients, template: str, service: ReceivingService, secret_arn: str
) -> None:
    """The same stack, with less patience: a second try after seconds, and then the queue of dead letters."""
    hasty = template.replace("VisibilityTimeout: 190", "VisibilityTimeout: 6")
    hasty = hasty.replace("maxReceiveCount: 100", "maxReceiveCount: 2").replace("InSeconds: 5", "InSeconds: 0")
    assert hasty.count("maxReceiveCount: 2") == 1
    stack = deployed(clients, hasty, "hasty", BucketName="any", ServiceUrl=service.url, SecretArn=secret_arn)
    sqs = clients("sqs")
    service.received.clear()
    service.statuses = [503]
    sqs.send_message(QueueUrl=stack["QueueUrl"], MessageBody='{"try": "again"}')
    until(lambda: len(service.received) == 2, ARRIVES_S)
    assert [each.value for each in service.received] == [{"try": "again"}] * 2
    service.statuses = [401] * 9
    sqs.send_message(QueueUrl=stack["QueueUrl"], MessageBody='{"not": "taken"}')
    dead: list[str] = []

    def is_dead() -> bool:
        found = sqs.receive_message(QueueUrl=stack["DeadLetterQueueUrl"], WaitTimeSeconds=1)
        dead.extend(message["Body"] for message in found.get("Messages", []))
        return bool(dead)

    until(is_dead, ARRIVES_S)
    assert dead == ['{"not": "taken"}']
    service.statuses = []


def test_a_korean_object_arrives_by_event_bridge(
    clients: Clients, template: str, service: ReceivingService, secret_arn: str
) -> None:
    s3 = clients("s3")
    s3.create_bucket(Bucket="bridged")
    s3.put_bucket_notification_configuration(
        Bucket="bridged", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    given = {"BucketName": "bridged", "ServiceUrl": service.url, "SecretArn": secret_arn}
    stack = deployed(clients, template, "bridge", **given, UseEventBridge="true", Prefix="한글 폴더/")
    assert stack["QueueArn"]
    service.received.clear()
    s3.put_object(Bucket="bridged", Key="elsewhere.txt", Body=b"1")
    s3.put_object(Bucket="bridged", Key=KOREAN, Body=b"1")
    body = _wait_for(service, "a+b (1).txt", "Object Created")
    assert body["detail"]["object"]["key"] == KOREAN
    s3.delete_object(Bucket="bridged", Key=KOREAN)
    _wait_for(service, "a+b (1).txt", "Object Deleted")
    assert not any(b"elsewhere" in each.body for each in service.received)


def test_a_secret_that_was_changed_is_read_again(
    server: Ministack, clients: Clients, service: ReceivingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = clients("secretsmanager").create_secret(Name="changing", SecretString="first")["ARN"]
    for name, value in {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_DEFAULT_REGION": server.region,
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "S2M_URL": service.url,
        "S2M_SECRET_ARN": arn,
    }.items():
        monkeypatch.setenv(name, value)
    handle = load_function().lambda_handler
    service.received.clear()
    for said, signs in ((202, "first"), (401, "first"), (202, "second")):
        service.statuses = [said]
        answer = handle(sqs_batch("{}"), None)
        assert bool(answer["batchItemFailures"]) == (said == 401)
        assert service.received[-1].headers["x-s2m-signature"] == wanted_signature(signs, service.received[-1])
        clients("secretsmanager").put_secret_value(SecretId=arn, SecretString="second")
    monkeypatch.setenv("S2M_SECRET_ARN", f"{arn}-gone")
    assert handle(sqs_batch("{}"), None)["batchItemFailures"]
    assert len(service.received) == 3
