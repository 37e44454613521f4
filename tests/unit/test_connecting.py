"""What `connect` gives AWS: names that fit, a policy and notifications merged into what others put there."""

import json
from typing import Any

import pytest

from s3_to_milvus.adapters.events.sqs_setup import QueueSetup, merged, merged_policy, queue_name
from s3_to_milvus.bootstrap import plan_of
from s3_to_milvus.errors import ConfigError

ARN = "arn:aws:sqs:ap-northeast-2:123456789012:shared"
SNS = {
    "Sid": "topic",
    "Effect": "Allow",
    "Principal": {"Service": "sns.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": ARN,
}


def _older(bucket: str, partition: str = "aws") -> dict[str, Any]:
    """A statement as older versions of this program, and our template of CloudFormation, write it."""
    condition = {"ArnEquals": {"aws:SourceArn": f"arn:{partition}:s3:::{bucket}"}}
    return {**SNS, "Sid": "S3MaySend", "Principal": {"Service": "s3.amazonaws.com"}, "Condition": condition}


def _policy(bucket: str, *present: dict[str, Any], arn: str = ARN) -> dict[str, Any]:
    text = json.dumps({"Version": "2008-10-17", "Id": "theirs", "Statement": present}) if present else ""
    return merged_policy(QueueSetup(bucket, "", "shared"), arn, text)


def _sources(policy: dict[str, Any]) -> list[str]:
    found = (each.get("Condition", {}).get("ArnEquals", {}) for each in policy["Statement"])
    return [each.get("aws:SourceArn", "") for each in found]


def test_statements_of_others_stay() -> None:
    first = _policy("alpha", SNS)
    assert (first["Version"], first["Id"]) == ("2008-10-17", "theirs")
    assert first["Statement"][0] == SNS
    both = merged_policy(QueueSetup("beta", "", "shared"), ARN, json.dumps(first))
    assert _sources(both) == ["", "arn:aws:s3:::alpha", "arn:aws:s3:::beta"]
    names = [each["Sid"] for each in both["Statement"]]
    assert len(set(names)) == 3
    assert all(name.isalnum() and name.isascii() for name in names)
    for bucket in ("alpha", "beta"):
        assert merged_policy(QueueSetup(bucket, "", "shared"), ARN, json.dumps(both)) == both


def test_a_single_statement_need_not_be_a_list() -> None:
    merged_ = merged_policy(QueueSetup("alpha", "", "shared"), ARN, json.dumps({"Statement": SNS}))
    assert merged_["Statement"][0] == SNS
    assert len(merged_["Statement"]) == 2


def test_an_older_statement_is_replaced_for_this_bucket_only() -> None:
    merged_ = _policy("alpha", _older("alpha"), _older("beta"), _older("alphabet"))
    assert merged_["Statement"][:2] == [_older("beta"), _older("alphabet")]
    assert _sources(merged_)[2:] == ["arn:aws:s3:::alpha"]
    (new,) = _policy("alpha")["Statement"]
    assert _policy("alpha", _older("alpha"), new)["Statement"] == [new]


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_partition_is_that_of_the_queue(partition: str) -> None:
    arn = ARN.replace("arn:aws:", f"arn:{partition}:")
    (statement,) = _policy("alpha", _older("alpha"), arn=arn)["Statement"]
    assert statement["Condition"] == {
        "ArnEquals": {"aws:SourceArn": f"arn:{partition}:s3:::alpha"},
        "StringEquals": {"aws:SourceAccount": "123456789012"},
    }


@pytest.mark.parametrize(
    ("region", "partition"),
    [("", "aws"), ("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_what_is_printed_names_the_partition_of_the_region(region: str, partition: str) -> None:
    found = plan_of("s3://docs", None, region)
    assert found.notification["QueueConfigurations"][0]["QueueArn"].startswith(f"arn:{partition}:sqs:")
    assert _sources(found.policy) == [f"arn:{partition}:s3:::docs"]


def test_every_bucket_has_a_queue_of_its_own() -> None:
    assert queue_name("docs-example") == "s3-to-milvus-docs-example", "as it was: queues that exist are found again"
    assert queue_name("a" * 62) == "s3-to-milvus-" + "a" * 62
    buckets = ["docs.example", "docs-example", "docs.exa.mple", *(f"{'a' * 62}{last}" for last in "bc")]
    names = {queue_name(bucket) for bucket in buckets}
    assert len(names) == len(buckets)
    assert queue_name("docs.example") == queue_name("docs.example")
    for name in names:
        assert QueueSetup("any", "", name).dead_queue == f"{name}-dead"
        assert len(f"{name}-dead") <= 80
        assert name.replace("-", "").replace("_", "").isalnum()


def test_dead_letters_of_a_long_name_fit_too() -> None:
    names = {QueueSetup("docs", "", f"{'q' * 79}{last}").dead_queue for last in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 80 and name.endswith("-dead") for name in names)


@pytest.mark.parametrize("queue", ["q" * 81, "events.fifo", "two words"])
def test_a_name_that_sqs_refuses_is_refused(queue: str) -> None:
    with pytest.raises(ConfigError, match="80"):
        plan_of("s3://docs", queue, "")


@pytest.mark.parametrize(
    ("prefix", "value"),
    [
        ("reports/2026-q_1/", "reports/2026-q_1/"),
        ("인사/", "%EC%9D%B8%EC%82%AC/"),
        ("a b/", "a+b/"),
        ("year=2026/100%+1~&/", "year%3D2026/100%25%2B1%7E%26/"),
        ("safe!-_.*'()/", "safe!-_.*'()/"),
    ],
)
def test_the_filter_is_written_as_s3_wants_it(prefix: str, value: str) -> None:
    rule = QueueSetup("docs", prefix, "q").rule(ARN)
    assert rule["Filter"]["Key"]["FilterRules"] == [{"Name": "prefix", "Value": value}]


def _foreign(events: list[str], **filters: str) -> dict[str, Any]:
    rules = [{"Name": name.capitalize(), "Value": value} for name, value in filters.items()]
    filter_ = {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}
    return {"LambdaFunctionConfigurations": [{"Id": "theirs", "LambdaFunctionArn": "x", "Events": events, **filter_}]}


def _is_refused(prefix: str, present: dict[str, Any]) -> bool:
    setup = QueueSetup("docs", prefix, "q")
    try:
        found = merged(setup, ARN, present)
    except ConfigError as error:
        return "'theirs'" in error.message
    assert found == {**present, "QueueConfigurations": [setup.rule(ARN)]}
    return False


@pytest.mark.parametrize(
    ("event", "is_refused"),
    [
        ("s3:ObjectRestore:Completed", True),
        ("s3:ObjectRestore:*", True),
        ("s3:ObjectCreated:Put", True),
        ("s3:ObjectRemoved:DeleteMarkerCreated", True),
        ("s3:ObjectRestore:Post", False),
        ("s3:ObjectRestore:Delete", False),
        ("s3:ObjectTagging:*", False),
        ("s3:ReducedRedundancyLostObject", False),
        ("s3:*", True),
        ("s3:ObjectCreated", True),
    ],
)
def test_only_events_that_we_want_as_well_are_in_the_way(event: str, is_refused: bool) -> None:
    assert _is_refused("", _foreign(["s3:ObjectAcl:Put", event])) is is_refused


@pytest.mark.parametrize(
    ("prefix", "theirs", "is_refused"),
    [
        ("인사/", "%EC%9D%B8%EC%82%AC/%EA%B7%9C%EC%A0%95/", True),
        ("a b/", "a+b/", True),
        ("a b/", "a%2Bb/", False),
        ("", "logs/", True),
    ],
)
def test_prefixes_are_compared_as_what_they_mean(prefix: str, theirs: str, is_refused: bool) -> None:
    assert _is_refused(prefix, _foreign(["s3:ObjectCreated:*"], prefix=theirs)) is is_refused


def test_a_suffix_alone_keeps_nobody_out_of_our_way() -> None:
    """Ours takes whatever a key ends with, so AWS refuses one with a suffix beside it: aws-cli issue 2387."""
    assert _is_refused("docs/", _foreign(["s3:ObjectCreated:*"], suffix=".jpg"))
    assert not _is_refused("docs/", _foreign(["s3:ObjectCreated:*"], suffix=".jpg", prefix="images/"))
