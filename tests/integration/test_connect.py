"""`connect` against a real server of AWS's protocols: what it makes works, is merged, and may be made again."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from s3_to_milvus.adapters.events.sqs_setup import QueueSetup, merged
from s3_to_milvus.cli.main import main
from s3_to_milvus.errors import ConfigError
from tests.support.ministack import Ministack, running_ministack


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    with running_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture
def clients(server: Ministack) -> Iterator[tuple[Any, Any]]:
    given: Any = {
        "endpoint_url": server.endpoint_url,
        "region_name": server.region,
        "aws_access_key_id": server.access_key_id,
        "aws_secret_access_key": server.secret_access_key,
    }
    s3, sqs = boto3.client("s3", **given), boto3.client("sqs", **given)
    yield s3, sqs
    s3.close()
    sqs.close()


@pytest.fixture(autouse=True)
def _settings(server: Ministack, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2M_DATA_DIR", str(tmp_path / "data"))
    for name, value in {
        "STORE__S3__ENDPOINT_URL": server.endpoint_url,
        "STORE__S3__REGION": server.region,
        "STORE__S3__ACCESS_KEY_ID": server.access_key_id,
        "STORE__S3__SECRET_ACCESS_KEY": server.secret_access_key,
        "EVENTS__SQS__ENDPOINT_URL": server.endpoint_url,
    }.items():
        monkeypatch.setenv(f"S2M_{name}", value)


def _run(*arguments: str) -> Any:
    result = CliRunner().invoke(main, ["connect", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_without_apply_it_only_prints() -> None:
    found = _run("s3://docs/인사/")
    assert found["queue_url"] == ""
    assert found["policy"]["Statement"][0]["Condition"]["ArnEquals"] == {"aws:SourceArn": "arn:aws:s3:::docs"}
    (rule,) = found["notification"]["QueueConfigurations"]
    assert rule["Filter"]["Key"]["FilterRules"] == [{"Name": "prefix", "Value": "%EC%9D%B8%EC%82%AC/"}]
    assert CliRunner().invoke(main, ["connect", "/tmp"]).exit_code == 2


def test_what_it_makes_works_and_keeps_what_was_there(server: Ministack, clients: tuple[Any, Any]) -> None:
    s3, sqs = clients
    s3.create_bucket(Bucket="connected")
    other = sqs.create_queue(QueueName="other")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=other, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    theirs = {
        "Id": "theirs",
        "QueueArn": arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "logs/"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket="connected", NotificationConfiguration={"QueueConfigurations": [theirs]}
    )
    first, second = _run("s3://connected/docs/", "--apply"), _run("s3://connected/docs/", "--apply")
    assert first["queue_url"] == second["queue_url"]
    rules = s3.get_bucket_notification_configuration(Bucket="connected")["QueueConfigurations"]
    assert sorted(rule["Id"] for rule in rules) == ["s3-to-milvus docs/", "theirs"]
    s3.put_object(Bucket="connected", Key="docs/휴가.txt", Body=b"x")
    for _ in range(20):
        found = sqs.receive_message(QueueUrl=first["queue_url"], MaxNumberOfMessages=10, WaitTimeSeconds=1)
        if any("docs/" in message["Body"] for message in found.get("Messages", [])):
            break
    else:
        pytest.fail("the queue was not told")
    attributes = sqs.get_queue_attributes(QueueUrl=first["queue_url"], AttributeNames=["All"])["Attributes"]
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == 20
    assert "aws:SourceArn" in attributes["Policy"]


def _statements(sqs: Any, url: str) -> list[dict[str, Any]]:
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    statements: list[dict[str, Any]] = json.loads(found)["Statement"]
    return statements


def test_several_buckets_share_a_queue_with_whoever_sends_to_it(clients: tuple[Any, Any]) -> None:
    s3, sqs = clients
    url = sqs.create_queue(QueueName="shared")["QueueUrl"]
    theirs = {"Sid": "topic", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:*"}
    older = {**theirs, "Sid": "S3MaySend", "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::alpha"}}}
    policy = {"Version": "2012-10-17", "Statement": [theirs, older]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    for bucket in ("alpha", "beta"):
        s3.create_bucket(Bucket=bucket)
        assert _run(f"s3://{bucket}", "--queue", "shared", "--apply")["queue_url"] == url
    made = _statements(sqs, url)
    assert made[0] == theirs
    assert [each["Condition"]["ArnEquals"]["aws:SourceArn"] for each in made[1:]] == [
        "arn:aws:s3:::alpha",
        "arn:aws:s3:::beta",
    ]
    _run("s3://alpha", "--queue", "shared", "--apply")
    assert _statements(sqs, url) == made


def test_a_lambda_s_queue_is_not_unplugged_and_a_bucket_that_is_not_there_makes_none(clients: tuple[Any, Any]) -> None:
    """The guide to the Lambda gives its notification the same name."""
    s3, sqs = clients
    s3.create_bucket(Bucket="plugged")
    url = sqs.create_queue(QueueName="ai-s3-to-fastapi")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = QueueSetup("plugged", "", "ai-s3-to-fastapi").rule(arn)
    s3.put_bucket_notification_configuration(
        Bucket="plugged", NotificationConfiguration={"QueueConfigurations": [rule]}
    )
    before = set(sqs.list_queues().get("QueueUrls", []))
    for bucket, said in (("plugged", "tells arn:aws:sqs"), ("pluged", "See that the bucket exists")):
        result = CliRunner().invoke(main, ["connect", f"s3://{bucket}", "--apply"])
        assert result.exit_code == 2
        assert said in result.output
    assert set(sqs.list_queues().get("QueueUrls", [])) == before
    found = s3.get_bucket_notification_configuration(Bucket="plugged")["QueueConfigurations"]
    assert [each["QueueArn"] for each in found] == [arn]


@pytest.mark.parametrize(("prefix", "is_refused"), [("", True), ("docs/", True), ("docs/a/", True), ("x/", False)])
def test_what_aws_would_refuse_is_named_before(prefix: str, is_refused: bool) -> None:
    rule = {"Id": "theirs", "LambdaFunctionArn": "x", "Events": ["s3:ObjectCreated:Put"]}
    rule["Filter"] = {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "docs/"}]}}  # type: ignore[assignment]
    present = {"LambdaFunctionConfigurations": [rule], "EventBridgeConfiguration": {}, "ResponseMetadata": {}}
    setup = QueueSetup("docs", prefix, "q")
    if is_refused:
        with pytest.raises(ConfigError, match="'theirs'"):
            merged(setup, "arn", present)
    else:
        found = merged(setup, "arn", present)
        assert set(found) == {"LambdaFunctionConfigurations", "EventBridgeConfiguration", "QueueConfigurations"}
