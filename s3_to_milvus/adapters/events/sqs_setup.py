"""What a bucket needs so that a queue tells about its changes: queues, policy, notification merged into what is there.

`PutBucketNotificationConfiguration` replaces the whole configuration, as setting a queue's `Policy` replaces all of
that, so both are read, added to, and written; a bucket must be allowed to send before AWS takes the notification.
"""

import hashlib
import json
import re
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from s3_to_milvus.errors import ConfigError, S3ToMilvusError, Unauthorized, Unavailable

__all__ = ["Place", "QueueSetup", "make", "merged", "merged_policy", "queue_arn", "queue_name"]

_EVENTS = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:ObjectRestore:Completed",
)
_KINDS = ("TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations")
_PLACES = ("QueueArn", "TopicArn", "LambdaFunctionArn")
_RETENTION_S = 14 * 86_400
_RECEIVES = 20
_VISIBILITY_S = 60
_MAX_NAME = 80
_DEAD = "-dead"
# Its statement allowed one bucket only, whichever came last; the template of CloudFormation still writes it.
_OLDER_SID = "S3MaySend"
_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}


@dataclass(frozen=True, slots=True)
class QueueSetup:
    """Names of what is made. ``prefix`` limits the notification; empty: the whole bucket."""

    bucket: str
    prefix: str
    queue: str

    @property
    def dead_queue(self) -> str:
        """Where messages go that fail again and again."""
        return f"{_fitting(self.queue)}{_DEAD}"

    @property
    def rule_id(self) -> str:
        """The name of the notification, by which it is found and replaced later."""
        return f"s3-to-milvus {self.prefix}"[:255].strip()

    @property
    def sid(self) -> str:
        """The name of the statement that lets this bucket send, by which it is found and replaced later."""
        return f"S3MaySend{_short_hash(self.bucket)}"

    def attributes(self, dead_arn: str) -> dict[str, str]:
        """Attributes of the queue: how long, how often."""
        redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": _RECEIVES}
        return {
            "VisibilityTimeout": str(_VISIBILITY_S),
            "MessageRetentionPeriod": str(_RETENTION_S),
            "ReceiveMessageWaitTimeSeconds": "20",
            "RedrivePolicy": json.dumps(redrive),
        }

    def statement(self, queue: str) -> dict[str, Any]:
        """S3 may send to the queue of this ARN, for this bucket of the queue's account only."""
        _, partition, _, _, account, _ = queue.split(":")
        condition: dict[str, Any] = {"ArnEquals": {"aws:SourceArn": f"arn:{partition}:s3:::{self.bucket}"}}
        if account:
            condition["StringEquals"] = {"aws:SourceAccount": account}
        return {
            "Sid": self.sid,
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": condition,
        }

    def rule(self, queue: str) -> dict[str, Any]:
        """The notification itself, to the queue of this ARN."""
        rule: dict[str, Any] = {"Id": self.rule_id, "QueueArn": queue, "Events": list(_EVENTS)}
        if self.prefix:
            rule["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": _filter_value(self.prefix)}]}}
        return rule


def queue_name(bucket: str) -> str:
    """The name of a bucket's queue, of no other bucket; there is room for that of its dead letters."""
    return _fitting(f"s3-to-milvus-{bucket}")


def queue_arn(region: str, account: str, name: str) -> str:
    """The ARN of a queue, in the partition of its region."""
    partition = next((each for begin, each in _PARTITIONS.items() if region.startswith(f"{begin}-")), "aws")
    return f"arn:{partition}:sqs:{region}:{account}:{name}"


def _fitting(name: str) -> str:
    """The name itself where SQS takes it, with the suffix for dead letters; otherwise one that is as unique."""
    room = _MAX_NAME - len(_DEAD)
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    if plain == name and len(name) <= room:
        return name
    short = _short_hash(name)
    return f"{plain[: room - len(short) - 1]}-{short}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _filter_value(prefix: str) -> str:
    """The prefix as S3 compares it: a space as +, all but its "safe characters" percent-encoded.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html (aws-cdk 28012: a prefix
    with "=" matched nothing until it was written as "%3D").
    """
    return quote_plus(prefix, safe="/!*'()").replace("~", "%7E")


def merged_policy(setup: QueueSetup, queue: str, present: str) -> dict[str, Any]:
    """The policy of the queue of this ARN (empty: it has none) with our statement; those of others stay."""
    policy: dict[str, Any] = json.loads(present) if present else {}
    statements = policy.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    ours = setup.statement(queue)
    if [each for each in statements if _is_ours(each, setup)] != [ours]:
        statements = [*(each for each in statements if not _is_ours(each, setup)), ours]
    return {"Version": "2012-10-17", **policy, "Statement": statements}


def _is_ours(statement: dict[str, Any], setup: QueueSetup) -> bool:
    if statement.get("Sid") != _OLDER_SID:
        return statement.get("Sid") == setup.sid
    source = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn")
    return isinstance(source, str) and source.rpartition(":::")[2] == setup.bucket


def merged(setup: QueueSetup, queue: str, present: dict[str, Any]) -> dict[str, Any]:
    """The bucket's notifications with ours among them, in place of ours of another time.

    Raises `ConfigError` where AWS would refuse: another notification covers some of the same keys and events.
    """
    kept = {name: value for name, value in present.items() if name in (*_KINDS, "EventBridgeConfiguration")}
    for kind in _KINDS:
        for rule in kept.get(kind, []):
            if not _is_our_rule(rule, setup) and _overlaps(rule, setup.prefix):
                place = next((str(rule[name]) for name in _PLACES if name in rule), "somebody")
                raise ConfigError(
                    f"The notification {rule.get('Id', '?')!r} of {setup.bucket} tells {place} about some of the same "
                    "keys already; AWS allows one destination for each.",
                    hint="Let EventBridge or SNS fan out, name a prefix that it does not cover, or name its queue "
                    "with --queue; if it is not needed any more, remove it first.",
                )
    others = [rule for rule in kept.get("QueueConfigurations", []) if not _is_our_rule(rule, setup)]
    return {**kept, "QueueConfigurations": [*others, setup.rule(queue)]}


def _is_our_rule(rule: dict[str, Any], setup: QueueSetup) -> bool:
    """Ours of another time: of our name, and to the same queue (a Lambda's queue may be told under this name, too)."""
    return rule.get("Id") == setup.rule_id and str(rule.get("QueueArn", "")).rpartition(":")[2] == setup.queue


def _overlaps(rule: dict[str, Any], prefix: str) -> bool:
    """Whether a rule covers keys and events of ours. Its suffix does not matter: ours takes every suffix."""
    if not any(_share(ours, theirs) for ours in _EVENTS for theirs in rule.get("Events", [])):
        return False
    rules = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    value = next((each["Value"] for each in rules if str(each.get("Name", "")).lower() == "prefix"), "")
    theirs = unquote_plus(value)
    return theirs.startswith(prefix) or prefix.startswith(theirs)


def _share(one: str, other: str) -> bool:
    """Whether two names of events (``s3:ObjectCreated:*``) have an event in common."""
    (family, _, kind), (family_2, _, kind_2) = (name.removeprefix("s3:").partition(":") for name in (one, other))
    if family != family_2:
        return "*" in (family, family_2)
    return kind == kind_2 or not {"*", ""}.isdisjoint({kind, kind_2})


@dataclass(frozen=True, slots=True)
class Place:
    """Where S3 and SQS are, and who we are: key id, secret, session token; None: as boto3 finds it."""

    region: str | None
    credentials: tuple[str | None, str | None, str | None] = field(repr=False)
    s3_endpoint: str | None = None
    sqs_endpoint: str | None = None


def make(setup: QueueSetup, place: Place) -> str:
    """Make or correct everything; doing it again changes nothing. The URL of the queue.

    Raises `ConfigError`, `Unauthorized`, `Unavailable`.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    key_id, secret, token = place.credentials
    session = boto3.session.Session(
        aws_access_key_id=key_id, aws_secret_access_key=secret, aws_session_token=token, region_name=place.region
    )
    try:
        with (
            closing(session.client("s3", endpoint_url=place.s3_endpoint)) as s3,
            closing(session.client("sqs", endpoint_url=place.sqs_endpoint)) as sqs,
        ):
            return _made(setup, s3, sqs)
    except ClientError as exc:
        raise _translated(exc) from exc
    except (BotoCoreError, ValueError) as exc:
        raise Unavailable(f"AWS does not answer: {type(exc).__name__}.") from exc


def _made(setup: QueueSetup, s3: Any, sqs: Any) -> str:
    present = s3.get_bucket_notification_configuration(Bucket=setup.bucket)
    merged(setup, "", present)  # before anything is made
    dead = sqs.create_queue(QueueName=setup.dead_queue)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": str(_RETENTION_S)})
    queue: str = sqs.create_queue(QueueName=setup.queue)["QueueUrl"]
    dead_arn, arn = (_attribute(sqs, url, "QueueArn") for url in (dead, queue))
    policy = merged_policy(setup, arn, _attribute(sqs, queue, "Policy"))
    attributes = {**setup.attributes(dead_arn), "Policy": json.dumps(policy)}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    wanted = merged(setup, arn, present)
    s3.put_bucket_notification_configuration(Bucket=setup.bucket, NotificationConfiguration=wanted)
    return queue


def _attribute(sqs: Any, url: str, name: str) -> str:
    """One attribute of a queue; empty where it has none."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return str(found.get("Attributes", {}).get(name, ""))


def _translated(error: Any) -> S3ToMilvusError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if "Denied" in code or code in ("InvalidClientTokenId", "SignatureDoesNotMatch", "403"):
        return Unauthorized(
            f"AWS refuses that ({code}).",
            hint="It needs sqs:CreateQueue, sqs:SetQueueAttributes, sqs:GetQueueAttributes, s3:GetBucketNotification "
            "and s3:PutBucketNotification.",
        )
    return ConfigError(f"AWS refuses that ({code or 'unknown'}).", hint="See that the bucket exists in this region.")
