"""The contract of object stores over buckets that a client of S3 fills."""

import uuid
from typing import TYPE_CHECKING

import pytest

from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.ports import ObjectStore
from s3_to_milvus.testing.contracts.object_store import ObjectStoreContract

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["S3Contract"]


class S3Contract(ObjectStoreContract):
    """Provide the fixtures ``s3_store`` and ``client``, the vendor's own."""

    client: "S3Client"

    @pytest.fixture
    def store(self, s3_store: ObjectStore, client: "S3Client") -> ObjectStore:
        self.client = client
        return s3_store

    @pytest.fixture
    def bucket(self, client: "S3Client") -> str:
        name = f"b-{uuid.uuid4().hex}"
        client.create_bucket(Bucket=name)
        return name

    def put(self, store: ObjectStore, ref: ObjectRef, data: bytes) -> None:
        self.client.put_object(Bucket=ref.bucket, Key=ref.key, Body=data)

    def delete(self, store: ObjectStore, ref: ObjectRef) -> None:
        self.client.delete_object(Bucket=ref.bucket, Key=ref.key)
