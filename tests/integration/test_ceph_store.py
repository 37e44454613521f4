"""Buckets of a real Ceph: the contract of object stores, long listings in order, `sync`, `check` and `doctor`."""

import json
import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from s3_to_milvus.adapters.object_stores.s3 import S3Store
from s3_to_milvus.domain.objects import sort_key
from s3_to_milvus.testing.contracts.object_store import HOSTILE_KEYS
from tests.support.ceph import Ceph, running_ceph
from tests.support.ceph_service import CephService, ceph_client
from tests.support.line import line_over
from tests.support.s3_contract import S3Contract

pytestmark = pytest.mark.soak

# Ceph writes names with a leading underscore in another way inside its index; the others stand around it in order.
UNDERSCORED = ("_", "__", "_a", "__a", "_multipart_x", "^x", "`x", "a_", "A_", "_가", "가_")


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    with running_ceph(tmp_path_factory.mktemp("ceph")) as ceph:
        yield ceph


@pytest.fixture(scope="module")
def client(ceph: Ceph) -> Iterator[Any]:
    with ExitStack() as stack:
        yield ceph_client(ceph, stack)


@pytest.fixture(scope="module")
def s3_store(ceph: Ceph) -> S3Store:
    secret = SecretStr(ceph.secret_access_key)
    return S3Store(
        S3Store.Options(endpoint_url=ceph.endpoint_url, access_key_id=ceph.access_key_id, secret_access_key=secret)
    )


class TestCeph(S3Contract):
    pass


def _objects() -> dict[str, str]:
    """More than two pages of keys, and the text of each."""
    numbered = [f"번호+{number:04d} %.txt" for number in range(2_050)]
    keys = [*numbered, *HOSTILE_KEYS, *UNDERSCORED]
    return {key: f"낱말{number:04d}qz" for number, key in enumerate(keys)}


def _fill(client: Any, bucket: str, objects: dict[str, str]) -> None:
    shuffled = random.Random(7).sample(sorted(objects), len(objects))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=objects[key].encode()), shuffled))


@pytest.mark.parametrize("is_versioned", [False, True])
def test_a_long_bucket_is_mirrored_exactly(
    ceph: Ceph, client: Any, s3_store: S3Store, tmp_path: Path, is_versioned: bool
) -> None:
    objects = _objects()
    with ExitStack() as stack:
        service = CephService(tmp_path, ceph, f"long-{uuid.uuid4().hex[:8]}", stack)
        if is_versioned:
            on = {"Status": "Enabled"}
            client.put_bucket_versioning(Bucket=service.bucket, VersioningConfiguration=on)
        _fill(client, service.bucket, objects)
        client.put_object(Bucket=service.bucket, Key="folder marker/", Body=b"")
        assert [each.key for each in s3_store.list(service.bucket)] == sorted(objects, key=sort_key)
        first = json.loads(service.run("sync", f"s3://{service.bucket}", "--json").stdout)
        assert (first["added"], first["failed"], first["empty"]) == (len(objects), 0, 0)
        gone, changed = sorted(HOSTILE_KEYS)[::4], sorted(HOSTILE_KEYS)[1::4]
        for key in gone:
            service.delete(key)
            del objects[key]
        for key in changed:
            objects[key] = f"{objects[key]} 새로"
            service.put(key, objects[key])
        again = json.loads(service.run("sync", f"s3://{service.bucket}", "--json").stdout)
        assert (again["removed"], again["changed"], again["added"]) == (len(gone), len(changed), 0)
        service.run("check")
    settings = {"endpoint_url": ceph.endpoint_url, "access_key_id": "x", "secret_access_key": "not needed to search"}
    with line_over(tmp_path / "data", [f"s3://{service.bucket}"], store__s3=settings) as line:
        assert line.shown() == {key: [text] for key, text in objects.items()}


def test_doctor_says_what_is_wrong_with_a_bucket_of_ceph(ceph: Ceph, tmp_path: Path) -> None:
    with ExitStack() as stack:
        service = CephService(tmp_path, ceph, f"asked-{uuid.uuid4().hex[:8]}", stack)
        service.put("인사/휴가.txt", "느티나무")

        def said(code: int, **settings: str) -> str:
            return service.run("doctor", code=code, settings=settings).stdout

        assert (
            f"ok  source s3://{service.bucket}: {service.bucket} at {ceph.endpoint_url}: listing and reading work"
            in said(0)
        )
        assert "there is no such bucket" in said(7, S2M_SOURCE="s3://nowhere")
        assert "SignatureDoesNotMatch" in said(7, S2M_STORE__S3__SECRET_ACCESS_KEY="wrong")
        assert "InvalidAccessKeyId" in said(7, S2M_STORE__S3__ACCESS_KEY_ID="nobody")
        assert "no trusted connection" in said(7, S2M_STORE__S3__ENDPOINT_URL=ceph.tls_endpoint_url)
        trusted = {"S2M_STORE__S3__CA_BUNDLE": str(ceph.certificate)}
        assert "reading work" in said(0, S2M_STORE__S3__ENDPOINT_URL=ceph.tls_endpoint_url, **trusted)
