"""What this service needs elsewhere, printed or made: the queue of a bucket, the database of the journal."""

import re
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from s3_to_milvus import registry
from s3_to_milvus.bootstrap.sources import S3, parse_address
from s3_to_milvus.errors import ConfigError
from s3_to_milvus.settings import Settings

__all__ = ["Connection", "connect", "make_notion_database", "plan_of"]

_ACCOUNT = "ACCOUNT-ID"


@dataclass(frozen=True, slots=True)
class Connection:
    """What the bucket needs: the policy of the queue, the notification; ``queue_url`` once it is made.

    Both are what is ours: where the queue has a policy, or the bucket notifications, they are merged into those.
    """

    bucket: str
    queue: str
    policy: dict[str, Any]
    notification: dict[str, Any]
    queue_url: str = ""


def plan_of(uri: str, queue: str | None, region: str) -> Connection:
    """What would be made; asks nobody. Raises `ConfigError` for what is no bucket."""
    from s3_to_milvus.adapters.events.sqs_setup import merged_policy, queue_arn

    setup = _setup(uri, queue)
    arn = queue_arn(region or "REGION", _ACCOUNT, setup.queue)
    rule = {"QueueConfigurations": [setup.rule(arn)]}
    return Connection(setup.bucket, setup.queue, merged_policy(setup, arn, ""), rule)


def connect(settings: Settings, uri: str, queue: str | None) -> Connection:
    """Make it, with the credentials of the S3 store. Raises `ConfigError`, `Unauthorized`, `Unavailable`."""
    from s3_to_milvus.adapters.events.sqs_setup import Place, make

    given = registry.options(settings, "object_store", S3)
    secret, token = (
        each.get_secret_value() if each else None for each in (given.secret_access_key, given.session_token)
    )
    place = Place(
        region=given.region or None,
        credentials=(given.access_key_id or None, secret, token),
        s3_endpoint=given.endpoint_url or None,
        sqs_endpoint=settings.events.options("sqs").get("endpoint_url") or None,
    )
    url = make(_setup(uri, queue), place)
    return replace(plan_of(uri, queue, given.region or ""), queue_url=url)


def _setup(uri: str, queue: str | None) -> Any:
    from s3_to_milvus.adapters.events.sqs_setup import QueueSetup, queue_name

    address = parse_address(uri)
    if address.kind != S3:
        raise ConfigError(f"{uri} is no bucket.", hint="Name one: s3://bucket/prefix.")
    if queue and not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", queue):
        raise ConfigError(
            f"{queue!r} can't be the name of a queue: at most 80 letters, digits, hyphens and underscores.",
            hint="S3 sends to no FIFO queue.",
        )
    return QueueSetup(address.place, address.prefix, queue or queue_name(address.place))


def make_notion_database(settings: Settings, page: str) -> str:
    """Make the journal's database on a page of Notion (its id or address) and give its id. Raises `ConfigError`."""
    from s3_to_milvus.adapters.journals.notion import NotionClient, NotionJournal, create_database

    given = settings.journal.options("notion")
    token = given.get("token", "")
    token = token.get_secret_value() if isinstance(token, SecretStr) else str(token)
    if not token:
        raise ConfigError("There is no token for Notion.", hint="Set NOTION_TOKEN (or S2M_JOURNAL__NOTION__TOKEN).")
    url = str(given.get("base_url") or NotionJournal.Options.model_fields["base_url"].default)
    return create_database(NotionClient(token, base_url=url), page)
