"""The boto3 client: its own chain for what is not set, no retries, no checksums that other servers lack."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from s3_to_milvus.errors import ConfigError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["make_client"]


def make_client(
    *,
    endpoint_url: str | None,
    region: str | None,
    credentials: tuple[str | None, str | None, str | None],
    verify: bool | str,
    settings: Mapping[str, Any],
) -> "S3Client":
    """A client of its own session. ``credentials``: key id, secret, session token; ``settings``: for botocore's Config.

    ``verify`` True leaves the choice of authorities to boto3 (``AWS_CA_BUNDLE``). Raises `ConfigError`.
    """
    key_id, secret, token = credentials
    config = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "total_max_attempts": 1},
        # Checksums of multipart uploads and of servers other than AWS fail where the content is right; we count bytes.
        response_checksum_validation="when_required",
        request_checksum_calculation="when_required",
        **settings,
    )
    try:
        session = boto3.session.Session(
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            aws_session_token=token,
            region_name=region,
        )
        return session.client("s3", endpoint_url=endpoint_url, config=config, verify=None if verify is True else verify)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"the settings of the S3 store do not work: {error}") from error
