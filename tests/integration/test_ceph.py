"""A real Ceph tells our service of changes by its webhook, with a key of ours in the address of its topic."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.support.application import until
from tests.support.ceph import Ceph, running_ceph
from tests.support.ceph_service import CephService, ceph_client

pytestmark = pytest.mark.soak

KOREAN = "인사 규정/휴가+연차 (개정 1).txt"
PART_BYTES = 5 << 20
QUEUE_FOUND_S = 150.0
"""Ceph looks for new queues of persistent topics every 30 s, and a busy machine makes it miss some turns."""


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    with running_ceph(tmp_path_factory.mktemp("ceph")) as ceph:
        yield ceph


@pytest.fixture
def made(ceph: Ceph, tmp_path: Path) -> Iterator[Callable[[], CephService]]:
    """Makes a service over a bucket of its own."""
    with ExitStack() as stack:
        yield lambda: CephService(tmp_path, ceph, f"docs-{uuid.uuid4().hex[:8]}", stack)


def test_every_kind_of_change_shows_within_seconds(made: Callable[[], CephService]) -> None:
    service = made()
    service.connect()
    service.start()
    service.put(KOREAN, "느티나무")
    service.expect({KOREAN: "느티나무"})
    service.put(KOREAN, "은행나무")
    service.expect({KOREAN: "은행나무"})
    source = {"Bucket": service.bucket, "Key": KOREAN}
    service.s3.copy_object(Bucket=service.bucket, Key="100% a%2Fb.txt", CopySource=source)
    service.expect({KOREAN: "은행나무", "100% a%2Fb.txt": "은행나무"})
    _put_in_parts(service, "조각+합침.txt", "소나무")
    service.expect({KOREAN: "은행나무", "100% a%2Fb.txt": "은행나무", "조각+합침.txt": "소나무"})
    service.delete(KOREAN)
    service.expect({"100% a%2Fb.txt": "은행나무", "조각+합침.txt": "소나무"})
    service.delete("never+was.txt")
    service.put("a+b.txt", "참나무")
    service.put("a b.txt", "박달나무")
    shown = {"100% a%2Fb.txt": "은행나무", "조각+합침.txt": "소나무", "a+b.txt": "참나무", "a b.txt": "박달나무"}
    service.expect(shown)
    assert service.events("quarantined") == 0
    assert service.refusals() == []


def _put_in_parts(service: CephService, key: str, text: str) -> None:
    named = {"Bucket": service.bucket, "Key": key}
    upload = {**named, "UploadId": service.s3.create_multipart_upload(**named)["UploadId"]}
    parts = []
    for number, body in enumerate([b"\n" * PART_BYTES, text.encode()], 1):
        part = {"PartNumber": number}
        parts.append({**part, "ETag": service.s3.upload_part(**upload, **part, Body=body)["ETag"]})
    service.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert service.s3.head_object(**named)["ETag"].endswith('-2"')


def test_what_deleted_versions_uncover_shows_again(made: Callable[[], CephService]) -> None:
    service = made()
    on = {"Status": "Enabled"}
    service.s3.put_bucket_versioning(Bucket=service.bucket, VersioningConfiguration=on)
    service.connect()
    service.start()
    service.put(KOREAN, "첫째")
    service.put(KOREAN, "둘째")
    service.expect({KOREAN: "둘째"})
    service.delete(KOREAN)
    service.expect({})
    marker = service.s3.list_object_versions(Bucket=service.bucket)["DeleteMarkers"][0]
    service.delete(KOREAN, VersionId=marker["VersionId"])
    service.expect({KOREAN: "둘째"})
    versions = service.s3.list_object_versions(Bucket=service.bucket)["Versions"]
    latest = next(version for version in versions if version["IsLatest"])
    service.delete(KOREAN, VersionId=latest["VersionId"])
    service.expect({KOREAN: "첫째"})


@pytest.mark.parametrize("is_persistent", [False, True])
def test_what_ceph_told_while_the_service_was_down(made: Callable[[], CephService], is_persistent: bool) -> None:
    """The scan at the start heals it; a persistent topic tells it again, besides."""
    service = made()
    service.connect(is_persistent=is_persistent)
    service.put("gone.txt", "오동나무")
    service.put("changed.txt", "버드나무")
    service.start()
    service.expect({"gone.txt": "오동나무", "changed.txt": "버드나무"})
    if is_persistent:  # so that what comes later is known to come from the time when it was down
        until(lambda: service.events() >= 2, QUEUE_FOUND_S)
    service.stop()
    service.delete("gone.txt")
    service.put("changed.txt", "잣나무")
    service.put(KOREAN, "느티나무")
    service.start()
    service.expect({"changed.txt": "잣나무", KOREAN: "느티나무"})
    if is_persistent:
        until(lambda: service.events() >= 3, QUEUE_FOUND_S)
    else:
        assert service.events() == 0
    assert service.shown() == {"changed.txt": "잣나무", KOREAN: "느티나무"}


def test_ceph_takes_an_address_with_a_key_by_tls_only(ceph: Ceph) -> None:
    with ExitStack() as stack:
        address = {"push-endpoint": "http://ceph:s2m_key@127.0.0.1:9/events"}
        with pytest.raises(ClientError):
            ceph_client(ceph, stack, "sns").create_topic(Name="keys", Attributes=address)
        ceph_client(ceph, stack, "sns", over_tls=True).create_topic(Name="keys", Attributes=address)


def test_a_wrong_key_is_told_and_costs_little(made: Callable[[], CephService]) -> None:
    """Ceph repeats refused events of a persistent topic without a pause."""
    service = made()
    process = psutil.Process(service.start())
    arn = service.connect("s2m_wrong", is_persistent=True)
    try:
        for number in range(3):
            service.put(f"{number}.txt", "느티나무")
        until(lambda: len(service.refusals()) > 0, QUEUE_FOUND_S)
        time.sleep(2)
        spent = _cpu_s(process)
        time.sleep(10)
        assert _cpu_s(process) - spent < 1.0
        line = service.refusals()[0]
        assert (line["sender"], line["reason"]) == ("127.0.0.1", "nobody knows its key")
        assert "s2m_wrong" not in service.log.read_text(encoding="utf-8")
        assert service.shown() == {}
    finally:
        service.topics.delete_topic(TopicArn=arn)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
