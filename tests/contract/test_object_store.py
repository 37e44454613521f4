"""Object stores keep the contract: in memory, in a folder, and on a server that speaks S3."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from pydantic import SecretStr

from s3_to_milvus.adapters.folder_names import components
from s3_to_milvus.adapters.object_stores.folder import FolderStore
from s3_to_milvus.adapters.object_stores.s3 import S3Store
from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion
from s3_to_milvus.errors import Archived, Unavailable
from s3_to_milvus.ports import UNCHANGED, ObjectStore
from s3_to_milvus.testing.contracts.object_store import ObjectStoreContract, opened
from s3_to_milvus.testing.fakes.object_store import MemoryObjectStore
from tests.support.ministack import Ministack, running_ministack
from tests.support.s3_contract import S3Contract

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class TestMemory(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryObjectStore(["bucket"])

    @pytest.fixture
    def bucket(self) -> str:
        return "bucket"

    def put(self, store: ObjectStore, ref: ObjectRef, data: bytes) -> None:
        assert isinstance(store, MemoryObjectStore)
        store.put(ref.bucket, ref.key, data)

    def delete(self, store: ObjectStore, ref: ObjectRef) -> None:
        assert isinstance(store, MemoryObjectStore)
        store.delete(ref.bucket, ref.key)

    def test_an_outage_is_raised_by_every_call(self) -> None:
        store = MemoryObjectStore(["bucket"])
        store.outage = Unavailable("down")
        with pytest.raises(Unavailable):
            store.get(ObjectRef("bucket", "a"))
        with pytest.raises(Unavailable):
            list(store.list("bucket"))


class TestFolder(ObjectStoreContract):
    root: Path

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        self.root = tmp_path / "root"
        self.root.mkdir()
        return FolderStore(FolderStore.Options(), {"bucket": self.root})

    @pytest.fixture
    def bucket(self) -> str:
        return "bucket"

    def put(self, store: ObjectStore, ref: ObjectRef, data: bytes) -> None:
        path = self.root / ref.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def delete(self, store: ObjectStore, ref: ObjectRef) -> None:
        path = self.root / ref.key
        path.unlink()
        while path.parent != self.root and not os.listdir(path.parent):  # noqa: PTH208
            path = path.parent
            path.rmdir()

    def can_hold(self, key: str) -> bool:
        parts = components(key)
        return parts is not None and all(len(part.encode()) <= 255 for part in parts)


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    with running_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="module")
def client(ministack: Ministack) -> "S3Client":
    return boto3.session.Session(
        aws_access_key_id=ministack.access_key_id,
        aws_secret_access_key=ministack.secret_access_key,
        region_name=ministack.region,
    ).client("s3", endpoint_url=ministack.endpoint_url)


@pytest.fixture(scope="module")
def s3_store(ministack: Ministack) -> S3Store:
    options = S3Store.Options(
        endpoint_url=ministack.endpoint_url,
        region=ministack.region,
        access_key_id=ministack.access_key_id,
        secret_access_key=SecretStr(ministack.secret_access_key),
    )
    return S3Store(options, sleep=lambda _: None)


class TestS3(S3Contract):
    def test_long_listings_go_on_page_by_page(self, store: ObjectStore, bucket: str) -> None:
        keys = [f"한글 {number:04d}+%.txt" for number in range(1_005)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: self.put(store, ObjectRef(bucket, key), b"1"), keys))
        assert [entry.key for entry in store.list(bucket)] == keys

    def test_versions_and_deletions_of_a_versioned_bucket(self, store: ObjectStore, bucket: str) -> None:
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        ref = ObjectRef(bucket, "a.txt")
        self.put(store, ref, b"one")
        content = opened(store.get(ref))
        assert content.read() == b"one"
        content.close()
        assert content.version.version_id
        assert store.get(ref, content.version) is UNCHANGED
        self.delete(store, ref)
        assert store.get(ref) is None
        assert list(store.list(bucket)) == []

    def test_an_archived_object_says_so(self, store: ObjectStore, bucket: str) -> None:
        self.client.put_object(Bucket=bucket, Key="cold.txt", Body=b"1", StorageClass="GLACIER")
        with pytest.raises(Archived):
            store.get(ObjectRef(bucket, "cold.txt"))

    def test_the_etag_of_a_multipart_upload_is_a_version_like_any(self, store: ObjectStore, bucket: str) -> None:
        key, size = "parts.bin", 5 * 1024 * 1024
        upload = self.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        etags = [
            self.client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=part, Body=body)["ETag"]
            for part, body in ((1, b"1" * size), (2, b"2"))
        ]
        parts = [{"ETag": etag, "PartNumber": number} for number, etag in enumerate(etags, 1)]
        self.client.complete_multipart_upload(
            Bucket=bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
        )
        content = opened(store.get(ObjectRef(bucket, key)))
        assert content.read() == b"1" * size + b"2"
        content.close()
        (listed,) = store.list(bucket)
        assert listed.etag == content.version.etag
        assert store.get(ObjectRef(bucket, key), ObjectVersion(listed.etag, listed.size_bytes)) is UNCHANGED
