"""S3 as object store. This module is light; boto3 is loaded with the first store."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from s3_to_milvus.domain.objects import ListedObject, ObjectRef, ObjectVersion
from s3_to_milvus.errors import Forbidden
from s3_to_milvus.ports import Unchanged

if TYPE_CHECKING:
    from s3_to_milvus.adapters.object_stores.s3.reading import S3Content

__all__ = ["S3Store"]


class S3Store:
    """Buckets of AWS or of any server that speaks its protocol.

    What is not set is found as boto3 finds it (environment, ``AWS_ENDPOINT_URL``, profiles, instance roles).
    A call is tried once (a page of a listing four times): the engine retries.
    """

    kind = "s3"

    class Options(BaseModel):
        """Where the server is and who we are. ``verify`` False accepts any certificate: for tests only."""

        model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

        endpoint_url: str | None = None
        region: str | None = None
        access_key_id: str | None = None
        secret_access_key: SecretStr | None = None
        session_token: SecretStr | None = None
        addressing_style: Literal["auto", "path", "virtual"] = "auto"
        verify: bool = True
        ca_bundle: Path | None = None
        max_connections: int = Field(default=32, ge=1)
        connect_timeout_s: float = Field(default=10.0, gt=0)
        read_timeout_s: float = Field(default=60.0, gt=0)

        @model_validator(mode="after")
        def _credentials_come_together(self) -> Self:
            if (self.access_key_id is None) != (self.secret_access_key is None):
                raise ValueError("access_key_id and secret_access_key are set together, or not at all")
            return self

    def __init__(self, options: Options, *, sleep: Callable[[float], None] = time.sleep) -> None:
        from s3_to_milvus.adapters.object_stores.s3.client import make_client
        from s3_to_milvus.adapters.object_stores.s3.listing import Lister
        from s3_to_milvus.adapters.object_stores.s3.reading import Reader

        client = make_client(
            endpoint_url=options.endpoint_url,
            region=options.region,
            credentials=(options.access_key_id, _plain(options.secret_access_key), _plain(options.session_token)),
            verify=str(options.ca_bundle) if options.ca_bundle else options.verify,
            settings={
                "s3": {"addressing_style": options.addressing_style},
                "max_pool_connections": options.max_connections,
                "connect_timeout": options.connect_timeout_s,
                "read_timeout": options.read_timeout_s,
            },
        )
        self._client = client
        self._endpoint_url = client.meta.endpoint_url
        self._reader = Reader(client)
        self._lister = Lister(client, sleep)

    def get(self, ref: ObjectRef, unless: ObjectVersion | None = None) -> "S3Content | Unchanged | None":
        """See `ObjectStore.get`. One GET; `Rejected` for names that S3 can't have."""
        return self._reader.get(ref, unless)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        """See `ObjectStore.list`."""
        return (listed for listed in self._lister.list(bucket, prefix) if not listed.is_folder_marker)

    def check(self, bucket: str) -> str:
        """See `ObjectStore.check`. Lists one key, reads one that can't be there and the one that is."""
        listed = self._lister.probe(bucket)
        self._reader.probe(bucket, listed)
        return f"{bucket} at {self._endpoint_url}: listing and reading work"

    def check_account(self) -> str:
        """Whether the server answers and knows who we are; needs no bucket. Raises `Unauthorized`, `Unavailable`."""
        from s3_to_milvus.adapters.object_stores.s3.failures import translated

        try:
            with translated(f"asking {self._endpoint_url} who we are"):
                self._client.list_buckets()
        except Forbidden:
            return f"{self._endpoint_url} knows the credentials"
        return f"{self._endpoint_url} knows the credentials and lists buckets"


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
