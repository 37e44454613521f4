"""The templates that deploy the Lambda: valid, and promising the same whatever they are deployed with."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.events.sqs_setup import QueueSetup
from tests.support.forwarding import FUNCTION, load_function

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TEMPLATE = DEPLOY / "sam" / "template.yaml"
TERRAFORM = sorted((DEPLOY / "terraform").glob("*.tf"))
# What the function may do, and on what: nothing else.
RIGHTS = {
    "Queue": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
    "SecretArn": {"secretsmanager:GetSecretValue"},
    "LogGroup": {"logs:CreateLogStream", "logs:PutLogEvents"},
}


@pytest.fixture(scope="module")
def template() -> Any:
    """The template, its short forms (`!Ref`) written out."""
    decode = pytest.importorskip("cfnlint.decode")
    decoded, mistakes = decode.decode(str(TEMPLATE))
    assert not mistakes
    return decoded


@pytest.fixture(scope="module")
def blocks() -> dict[tuple[str, ...], dict[str, Any]]:
    """Blocks of Terraform by kind and names: ``("resource", "aws_sqs_queue", "dead_letters")``."""
    hcl2 = pytest.importorskip("hcl2")
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for file in TERRAFORM:
        for kind, each in _plain(hcl2.loads(file.read_text(encoding="utf-8"))).items():
            for block in each if isinstance(each, list) else []:
                found |= _named((kind,), block, {"resource": 2, "data": 2, "variable": 1, "output": 1}.get(kind, 0))
    return found


def _named(path: tuple[str, ...], block: dict[str, Any], depth: int) -> dict[tuple[str, ...], dict[str, Any]]:
    if not depth:
        return {path: block}
    ((name, inner),) = block.items()
    return _named((*path, name), inner, depth - 1)


def _plain(value: Any) -> Any:
    """Without the quotes and marks that the parser leaves in."""
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        text = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        return re.sub(r"^\$\{(.*)\}$", r"\1", text, flags=re.DOTALL)
    return value


def _properties(template: Any, name: str) -> Any:
    return template["Resources"][name]["Properties"]


def _statements(template: Any) -> Iterator[Any]:
    """Every statement of every policy."""

    def walk(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            if "Effect" in value:
                yield value
            for each in value.values():
                yield from walk(each)
        elif isinstance(value, list):
            for each in value:
                yield from walk(each)

    yield from walk(template["Resources"])


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _mistakes(text: str, folder: Path) -> list[str]:
    api = pytest.importorskip("cfnlint.api")
    file = folder / "template.yaml"
    file.write_text(text, encoding="utf-8")
    return [str(mistake.rule.id) for mistake in api.lint_file(file)]


def test_the_template_has_no_mistakes(tmp_path: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert _mistakes(text, tmp_path) == []
    assert _mistakes(text.replace("MaximumConcurrency: 5", "MaximumConcurrency: 1"), tmp_path) == ["E3034"]


def test_both_ways_deploy_this_function(template: Any, blocks: dict[tuple[str, ...], dict[str, Any]]) -> None:
    function = _properties(template, "Function")
    other = blocks["resource", "aws_lambda_function", "forward"]
    module, _, handler = function["Handler"].partition(".")
    assert hasattr(load_function(), handler)
    assert (TEMPLATE.parent / function["Code"] / f"{module}.py").resolve() == FUNCTION
    assert list(FUNCTION.parent.iterdir()) == [FUNCTION], "whatever else is there is uploaded, too"
    assert FUNCTION.name in blocks["data", "archive_file", "function"]["source_file"]
    for ours, theirs in (("Handler", "handler"), ("Runtime", "runtime"), ("MemorySize", "memory_size")):
        assert function[ours] == other[theirs]
    variables = set(function["Environment"]["Variables"])
    assert variables == set(other["environment"][0]["variables"])
    assert not [name for name in variables if name not in FUNCTION.read_text(encoding="utf-8")]


def test_nothing_is_lost(template: Any, blocks: dict[tuple[str, ...], dict[str, Any]]) -> None:
    queue, dead, function = (_properties(template, name) for name in ("Queue", "DeadLetterQueue", "Function"))
    mapping = _properties(template, "Messages")
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 20
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + mapping["MaximumBatchingWindowInSeconds"]
    assert queue["MessageRetentionPeriod"] == dead["MessageRetentionPeriod"] == 14 * 86_400
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2
    assert "ReservedConcurrentExecutions" not in function
    assert _properties(template, "Rule")["Targets"][0]["DeadLetterConfig"]
    other = blocks["resource", "aws_lambda_event_source_mapping", "queue"]
    assert other["function_response_types"] == mapping["FunctionResponseTypes"]
    assert other["scaling_config"][0]["maximum_concurrency"] == mapping["ScalingConfig"]["MaximumConcurrency"]
    redrive = blocks["resource", "aws_sqs_queue", "notifications"]["redrive_policy"]
    assert "aws_sqs_queue.dead_letters.arn" in redrive
    assert f"maxReceiveCount = {queue['RedrivePolicy']['maxReceiveCount']}" in redrive
    assert (
        "6 * local.function_timeout_s"
        in (blocks["resource", "aws_sqs_queue", "notifications"]["visibility_timeout_seconds"])
    )
    assert blocks["resource", "aws_cloudwatch_event_target", "queue"]["dead_letter_config"]


def test_the_function_may_do_what_it_must_and_no_more(
    template: Any, blocks: dict[tuple[str, ...], dict[str, Any]]
) -> None:
    role = _properties(template, "Role")
    assert "ManagedPolicyArns" not in role
    found = {}
    for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
        (target,) = statement["Resource"].values()
        found[target if isinstance(target, str) else target[0]] = set(_as_list(statement["Action"]))
    assert found == RIGHTS
    statements = blocks["data", "aws_iam_policy_document", "function"]["statement"]
    given = {statement["resources"][0]: set(statement["actions"]) for statement in statements}
    assert list(given.values()) == list(RIGHTS.values())
    assert list(given) == [
        "aws_sqs_queue.notifications.arn",
        "var.secret_arn",
        "${aws_cloudwatch_log_group.function.arn}:*",
    ]
    assert not [key for key in blocks if "policy_attachment" in key[1:2]]


def test_no_policy_says_everything_or_everybody(template: Any) -> None:
    statements = list(_statements(template))
    assert len(statements) == 7
    for statement in statements:
        assert not [action for action in _as_list(statement["Action"]) if "*" in action]
        assert statement.get("Resource") != "*"
        assert "*" not in statement.get("Principal", {}).values()


def test_only_this_bucket_or_this_rule_may_send(template: Any, blocks: dict[tuple[str, ...], dict[str, Any]]) -> None:
    senders = [each for each in _statements(template) if each["Action"] == "sqs:SendMessage"]
    by_events, by_s3 = "events.amazonaws.com", "s3.amazonaws.com"
    assert [each["Principal"]["Service"] for each in senders] == [by_events, by_s3, by_events]
    sources = [each["Condition"]["ArnEquals"]["aws:SourceArn"] for each in senders]
    rule = {"Fn::GetAtt": ["Rule", "Arn"]}
    assert sources == [rule, {"Fn::Sub": "arn:${AWS::Partition}:s3:::${BucketName}"}, rule]
    assert all(
        each["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}} for each in senders
    )
    statement = blocks["data", "aws_iam_policy_document", "sender"]["statement"][0]
    assert {each["variable"]: each["test"] for each in statement["condition"]} == {
        "aws:SourceArn": "ArnEquals",
        "aws:SourceAccount": "StringEquals",
    }


def test_people_are_told(template: Any, blocks: dict[tuple[str, ...], dict[str, Any]]) -> None:
    alarms = [each["Properties"] for each in template["Resources"].values() if each["Type"].endswith("::Alarm")]
    watched = {(each["MetricName"], each["Dimensions"][0]["Value"]["Fn::GetAtt"][0]): each for each in alarms}
    assert set(watched) == {
        ("ApproximateNumberOfMessagesVisible", "DeadLetterQueue"),
        ("ApproximateAgeOfOldestMessage", "Queue"),
    }
    others = blocks[("locals",)]["alarms"]
    assert {each["metric"]: each["threshold"] for each in others.values()} == {
        each["MetricName"]: each["Threshold"] for each in alarms
    }


def test_notifications_of_the_bucket_are_replaced_only_when_asked_for(
    blocks: dict[tuple[str, ...], dict[str, Any]],
) -> None:
    flag = blocks["variable", "manage_bucket_notification"]
    assert flag["default"] is False
    assert "REPLACES" in flag["description"]
    assert blocks["resource", "aws_s3_bucket_notification", "objects"]["count"].startswith(
        "var.manage_bucket_notification ?"
    )


def test_prefixes_are_encoded_for_the_bucket_and_as_they_are_for_eventbridge(
    template: Any, blocks: dict[tuple[str, ...], dict[str, Any]], tmp_path: Path
) -> None:
    (queue,) = blocks["resource", "aws_s3_bucket_notification", "objects"]["dynamic"]
    assert queue["queue"]["content"][0]["filter_prefix"] == "local.notification_prefix"
    assert "prefix = var.prefix" in blocks["resource", "aws_cloudwatch_event_rule", "objects"]["event_pattern"]
    (pattern,) = _properties(template, "Rule")["EventPattern"]["detail"]["object"]["Fn::If"][1]["key"]
    assert pattern == {"prefix": {"Ref": "Prefix"}}
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("terraform is not installed")
    said = (DEPLOY / "terraform" / "main.tf").read_text(encoding="utf-8")
    found = re.search(r"^  notification_prefix += (join\(.*?^  \]\))$", said, flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    prefixes = ["", "a b/인사~1/", "year=2026/100%+1&/", "safe!-_.*'()/"]
    text = found[1].replace("var.prefix", "each_prefix")
    (tmp_path / "main.tf").write_text(
        f"locals {{\n  found = [for each_prefix in {json.dumps(prefixes)} : {text}]\n}}\n", encoding="utf-8"
    )
    asked = "jsonencode(local.found)\n"
    run = subprocess.run([program, "console"], cwd=tmp_path, input=asked, capture_output=True, text=True, check=True)
    rules = [QueueSetup("docs", prefix, "q").rule("arn").get("Filter") for prefix in prefixes]
    wanted = [rule["Key"]["FilterRules"][0]["Value"] if rule else "" for rule in rules]
    assert json.loads(json.loads(run.stdout)) == wanted


def test_every_variable_is_used_and_every_parameter(
    template: Any, blocks: dict[tuple[str, ...], dict[str, Any]]
) -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in TERRAFORM)
    assert not [key[1] for key in blocks if key[0] == "variable" and f"var.{key[1]}" not in text]
    said = TEMPLATE.read_text(encoding="utf-8")
    assert not [name for name in template["Parameters"] if f"!Ref {name}" not in said and f"${{{name}}}" not in said]


def test_terraform_is_written_as_terraform_writes_it() -> None:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("terraform is not installed")
    run = subprocess.run([program, "fmt", "-check", "-diff", str(DEPLOY / "terraform")], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
