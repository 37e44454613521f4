"""What a bucket needs so that a queue tells about its changes: queues, policy, notification merged into what is there.

`PutBucketNotificationConfiguration` replaces the whole configuration, so it is read, added to, and written; a bucket
must be allowed to send before AWS takes the notification.
"""

import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from s3_to_milvus.errors import ConfigError, S3ToMilvusError, Unauthorized, Unavailable

__all__ = ["Place", "QueueSetup", "make", "merged"]

_EVENTS = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:ObjectRestore:Completed",
)
_KINDS = ("TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations")
_RETENTION_S = 14 * 86_400
_RECEIVES = 20
_VISIBILITY_S = 60


@dataclass(frozen=True, slots=True)
class QueueSetup:
    """Names of what is made. ``prefix`` limits the notification; empty: the whole bucket."""

    bucket: str
    prefix: str
    queue: str

    @property
    def dead_queue(self) -> str:
        """Where messages go that fail again and again."""
        return f"{self.queue}-dead"

    @property
    def rule_id(self) -> str:
        """The name of the notification, by which it is found and replaced later."""
        return f"s3-to-milvus {self.prefix}"[:255].strip()

    def attributes(self, dead_arn: str, queue_arn: str, account: str) -> dict[str, str]:
        """Attributes of the queue: how long, how often, and that this bucket may send."""
        redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": _RECEIVES}
        return {
            "VisibilityTimeout": str(_VISIBILITY_S),
            "MessageRetentionPeriod": str(_RETENTION_S),
            "ReceiveMessageWaitTimeSeconds": "20",
            "RedrivePolicy": json.dumps(redrive),
            "Policy": json.dumps(self.policy(queue_arn, account)),
        }

    def policy(self, queue_arn: str, account: str) -> dict[str, Any]:
        """S3 may send to the queue, for this bucket of this account only."""
        condition: dict[str, Any] = {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{self.bucket}"}}
        if account:
            condition["StringEquals"] = {"aws:SourceAccount": account}
        statement = {
            "Sid": "S3MaySend",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": condition,
        }
        return {"Version": "2012-10-17", "Statement": [statement]}

    def rule(self, queue_arn: str) -> dict[str, Any]:
        """The notification itself."""
        rule: dict[str, Any] = {"Id": self.rule_id, "QueueArn": queue_arn, "Events": list(_EVENTS)}
        if self.prefix:
            rule["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": self.prefix}]}}
        return rule


def merged(setup: QueueSetup, queue_arn: str, present: dict[str, Any]) -> dict[str, Any]:
    """The bucket's notifications with ours among them, in place of ours of another time.

    Raises `ConfigError` where AWS would refuse: another notification covers some of the same keys and events.
    """
    kept = {name: value for name, value in present.items() if name in (*_KINDS, "EventBridgeConfiguration")}
    for kind in _KINDS:
        for rule in kept.get(kind, []):
            if rule.get("Id") != setup.rule_id and _overlaps(rule, setup.prefix):
                raise ConfigError(
                    f"The notification {rule.get('Id', '?')!r} of {setup.bucket} covers some of the same keys already; "
                    "AWS allows one destination for each.",
                    hint="Let EventBridge or SNS fan out, or name a prefix that it does not cover.",
                )
    others = [rule for rule in kept.get("QueueConfigurations", []) if rule.get("Id") != setup.rule_id]
    return {**kept, "QueueConfigurations": [*others, setup.rule(queue_arn)]}


def _overlaps(rule: dict[str, Any], prefix: str) -> bool:
    families = {name.removeprefix("s3:").partition(":")[0] for name in rule.get("Events", [])}
    if not families & {name.removeprefix("s3:").partition(":")[0] for name in _EVENTS}:
        return False
    rules = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    theirs = next((each["Value"] for each in rules if str(each.get("Name", "")).lower() == "prefix"), "")
    return bool(theirs.startswith(prefix) or prefix.startswith(theirs))


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
    dead = sqs.create_queue(QueueName=setup.dead_queue)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": str(_RETENTION_S)})
    queue: str = sqs.create_queue(QueueName=setup.queue)["QueueUrl"]
    dead_arn, queue_arn = (_arn(sqs, url) for url in (dead, queue))
    account = queue_arn.split(":")[4] if queue_arn.count(":") >= 5 else ""
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=setup.attributes(dead_arn, queue_arn, account))
    wanted = merged(setup, queue_arn, s3.get_bucket_notification_configuration(Bucket=setup.bucket))
    s3.put_bucket_notification_configuration(Bucket=setup.bucket, NotificationConfiguration=wanted)
    return queue


def _arn(sqs: Any, url: str) -> str:
    found: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return found


def _translated(error: Any) -> S3ToMilvusError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if "Denied" in code or code in ("InvalidClientTokenId", "SignatureDoesNotMatch", "403"):
        return Unauthorized(
            f"AWS refuses that ({code}).",
            hint="It needs sqs:CreateQueue, sqs:SetQueueAttributes, sqs:GetQueueAttributes, s3:GetBucketNotification "
            "and s3:PutBucketNotification.",
        )
    return ConfigError(f"AWS refuses that ({code or 'unknown'}).", hint="See that the bucket exists in this region.")
