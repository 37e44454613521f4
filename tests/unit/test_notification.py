"""Bodies of notifications become events. The bodies have the shape of those that real servers sent."""

import base64
import json
import time
from typing import Any

import pytest

from s3_to_milvus.adapters.events.notification import decode, decode_each
from s3_to_milvus.domain.objects import EventType, ObjectEvent, ObjectRef
from s3_to_milvus.errors import Rejected

KOREAN = "한글 폴더/a+b (1).txt"


def record(key: str, name: str = "ObjectCreated:Put", source: str = "aws:s3", **s3_object: Any) -> dict[str, Any]:
    return {
        "eventVersion": "2.6",
        "eventSource": source,
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T00:54:57.328Z",
        "eventName": name,
        "userIdentity": {"principalId": "EXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "6c2a8abc", "x-amz-id-2": "EXAMPLE"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "c1",
            "bucket": {"name": "nb-sqs", "ownerIdentity": {"principalId": "EXAMPLE"}, "arn": "arn:aws:s3:::nb-sqs"},
            "object": {"key": key, "size": 1, "eTag": "c4ca4238", "sequencer": "00000660E7010EF865", **s3_object},
        },
    }


def keys(body: object) -> list[str]:
    return [event.ref.key for event in decode(body)]


@pytest.mark.parametrize(
    "encoded",
    [
        "%ED%95%9C%EA%B8%80+%ED%8F%B4%EB%8D%94/a%2Bb+%281%29.txt",  # AWS, ministack
        "%ED%95%9C%EA%B8%80+%ED%8F%B4%EB%8D%94%2Fa%2Bb+%281%29.txt",  # moto
        "%ED%95%9C%EA%B8%80%20%ED%8F%B4%EB%8D%94/a%2Bb%20%281%29.txt",  # LocalStack
    ],
)
def test_keys_of_s3_are_decoded_once(encoded: str) -> None:
    assert keys({"Records": [record(encoded)]}) == [KOREAN]
    assert keys({"Records": [record("a%252Fb.txt")]}) == ["a%2Fb.txt"]


def test_all_records_of_a_message_count() -> None:
    body = {
        "Records": [
            record("a.txt"),
            record("b.txt", "ObjectRemoved:DeleteMarkerCreated", versionId="v1"),
            record("c.txt", "s3:ObjectRemoved:Delete"),
            record("d.txt", "LifecycleExpiration:Delete"),
            record("e.txt", "ObjectRestore:Completed"),
        ]
    }
    assert decode(body) == [
        ObjectEvent(ObjectRef("nb-sqs", "a.txt"), EventType.UPLOAD),
        ObjectEvent(ObjectRef("nb-sqs", "b.txt"), EventType.DELETE),
        ObjectEvent(ObjectRef("nb-sqs", "c.txt"), EventType.DELETE),
        ObjectEvent(ObjectRef("nb-sqs", "d.txt"), EventType.DELETE),
        ObjectEvent(ObjectRef("nb-sqs", "e.txt"), EventType.UNKNOWN),
    ]


def test_each_kind_of_server_spells_keys_in_its_own_way() -> None:
    minio = record("%ED%95%9C%EA%B8%80.txt", "s3:ObjectCreated:Put", "minio:s3")
    assert decode({"EventName": "s3:ObjectCreated:Put", "Key": "nb-sqs/한글.txt", "Records": [minio]}) == [
        ObjectEvent(ObjectRef("nb-sqs", "한글.txt"), EventType.UPLOAD)
    ]
    assert keys({"Records": [record("a+b%20c.txt", source="ceph:s3", versionId="")]}) == ["a+b%20c.txt"]
    assert keys({"Records": [record("a+b.txt", source="new:s3")]}) == ["a+b.txt", "a b.txt"]


@pytest.mark.parametrize(("key", "expected"), [("100%.txt", "100%.txt"), ("%FF.txt", "%FF.txt"), ("%zz", "%zz")])
def test_what_is_no_encoded_key_is_taken_as_it_is(key: str, expected: str) -> None:
    assert keys({"Records": [record(key)]}) == [expected]


def test_test_messages_are_no_events() -> None:
    body = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-11-23T00:54:57.000Z",
        "Bucket": "nb-sqs",
        "RequestId": "b6b3682b",
        "HostId": "1b7c3fca",
    }
    assert decode(body) == []
    assert decode({"Records": []}) == []


def test_the_original_shape_marks_both_readings_of_a_key() -> None:
    body = {"bucket_name": "docs", "file_key": "a+b%20c.txt", "event_type": "upload"}
    assert decode(body) == [
        ObjectEvent(ObjectRef("docs", "a+b%20c.txt"), EventType.UPLOAD),
        ObjectEvent(ObjectRef("docs", "a b c.txt"), EventType.UPLOAD),
    ]
    assert decode({"bucket_name": "docs", "file_key": "한글.txt", "event_type": "delete"}) == [
        ObjectEvent(ObjectRef("docs", "한글.txt"), EventType.DELETE)
    ]
    assert decode({"bucket_name": "docs", "file_key": "folder/"}) == [ObjectEvent(ObjectRef("docs", "folder/"))]
    assert keys({"bucket_name": "docs", "file_key": "100%+\u00e9%FF", "event_type": "renamed"}) == ["100%+\u00e9%FF"]


def test_ours_is_taken_as_it_is() -> None:
    assert decode({"bucket": "docs", "key": "a+b%20c.txt", "etag": "e", "version_id": "v"}) == [
        ObjectEvent(ObjectRef("docs", "a+b%20c.txt"))
    ]
    assert keys([{"bucket": "docs", "key": "1"}, {"bucket": "docs", "key": "2"}]) == ["1", "2"]
    assert decode([]) == []


def test_json_within_text_is_unwrapped() -> None:
    body = {"bucket": "docs", "key": "한글"}
    assert keys(json.dumps(body)) == keys(json.dumps(body).encode()) == keys(json.dumps(json.dumps(body))) == ["한글"]


NOT_UNDERSTOOD: tuple[object, ...] = (
    None,
    7,
    "",
    "no json",
    b"\xff\xfe",
    "[" * 100_000,
    {},
    [None],
    {"Records": "x"},
    {"Records": [None]},
    {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
    {"Records": [{"s3": None}]},
    {"Records": [{"s3": {"bucket": "b", "object": "k"}}]},
    {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": None}}}]},
    {"Records": [record("good.txt"), {"s3": {}}]},
    {"Records": [{**record("a"), "s3": {"bucket": {"name": ""}, "object": {"key": "a"}}}]},
    {"bucket_name": "b"},
    {"bucket_name": "b", "file_key": ""},
    {"bucket_name": "b", "file_key": ["a"]},
    {"bucket_name": 1, "file_key": "a"},
    {"bucket_name": "b", "file_key": "a", "event_type": {}},
    {"bucket": "", "key": "a"},
    {"bucket": "b", "key": "\ud800"},
    {"bucket": "\udcff", "key": "a"},
    {"bucket": "b", "key": "x" * 4_097},
    {"account": "a", "action": "PutObject", "bucket": "b", "object": {"key": ""}},
    {"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": "b"}}},
    {"eventType": "Microsoft.Storage.BlobCreated", "subject": "/elsewhere"},
    {"type": "google.cloud.storage.object.v1.finalized", "data": {"bucket": "b"}},
    {"TopicArn": "arn", "Type": "Notification", "Message": "no json"},
)


@pytest.mark.parametrize("number", range(len(NOT_UNDERSTOOD)))
def test_what_nobody_understands_is_rejected(number: int) -> None:
    with pytest.raises(Rejected) as caught:
        decode(NOT_UNDERSTOOD[number])
    assert len(caught.value.message) < 500


UPLOADED = [ObjectEvent(ObjectRef("docs", KOREAN), EventType.UPLOAD)]
DELETED = [ObjectEvent(ObjectRef("docs", KOREAN), EventType.DELETE)]


def _bridge(kind: str) -> dict[str, Any]:
    detail = {
        "bucket": {"name": "docs"},
        "object": {"key": KOREAN, "etag": "e", "sequencer": "00"},
        "reason": "PutObject",
    }
    return {"version": "0", "source": "aws.s3", "detail-type": kind, "region": "ap-northeast-2", "detail": detail}


def _azure(kind: str, **more: Any) -> dict[str, Any]:
    subject = f"/blobServices/default/containers/docs/blobs/{KOREAN}"
    return {"topic": "/subscriptions/x", "subject": subject, "eventType": kind, "data": {"api": "PutBlob"}, **more}


def _pub_sub(kind: str) -> dict[str, Any]:
    attributes = {"eventType": kind, "bucketId": "docs", "objectId": KOREAN, "payloadFormat": "JSON_API_V1"}
    return {"message": {"attributes": attributes, "data": "e30=", "messageId": "1"}, "subscription": "projects/x"}


def _r2(action: str) -> dict[str, Any]:
    return {"account": "a", "action": action, "bucket": "docs", "object": {"key": KOREAN, "size": 1}, "eventTime": "x"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (_bridge("Object Created"), UPLOADED),
        (_bridge("Object Deleted"), DELETED),
        (_bridge("Object Tags Added"), []),
        (_r2("CompleteMultipartUpload"), UPLOADED),
        (_r2("LifecycleDeletion"), DELETED),
        (_pub_sub("OBJECT_FINALIZE"), UPLOADED),
        (_pub_sub("OBJECT_DELETE"), DELETED),
        (_pub_sub("OBJECT_METADATA_UPDATE"), []),
        ({"type": "google.cloud.storage.object.v1.finalized", "data": {"bucket": "docs", "name": KOREAN}}, UPLOADED),
        ({"type": "google.cloud.storage.object.v1.deleted", "data": {"bucket": "docs", "name": KOREAN}}, DELETED),
        ([_azure("Microsoft.Storage.BlobCreated")], UPLOADED),
        ([_azure("Microsoft.Storage.BlobDeleted")], DELETED),
        ([_azure("Microsoft.Storage.BlobTierChanged")], []),
        ([{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "c"}}], []),
    ],
)
def test_shapes_of_other_clouds(body: object, expected: list[ObjectEvent]) -> None:
    assert decode(body) == expected
    assert decode(json.dumps(body)) == expected


def test_an_object_of_google_without_attributes() -> None:
    data = base64.b64encode(json.dumps({"kind": "storage#object", "bucket": "docs", "name": KOREAN}).encode()).decode()
    assert decode({"message": {"data": data, "messageId": "1"}}) == [ObjectEvent(ObjectRef("docs", KOREAN))]


def _sqs(*bodies: str) -> dict[str, Any]:
    records = [{"messageId": str(n), "eventSource": "aws:sqs", "body": body} for n, body in enumerate(bodies)]
    return {"Records": records}


def _sns(message: str) -> dict[str, Any]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": message, "Signature": "x"}


def test_envelopes_are_opened_layer_by_layer() -> None:
    inner = json.dumps({"Records": [record("a.txt")]})
    by_sns = json.dumps(_sns(inner))
    for body in (
        _sqs(inner),
        _sqs(by_sns),
        _sns(inner),
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": inner}}]},
        {"MessageId": "1", "ReceiptHandle": "r", "Body": by_sns},
        json.dumps(json.dumps(_sqs(json.dumps(by_sns)))),
    ):
        assert keys(body) == ["a.txt"], body
    assert keys(_sqs(inner, json.dumps({"Records": [record("b.txt")]}))) == ["a.txt", "b.txt"]
    assert decode({"Type": "SubscriptionConfirmation", "TopicArn": "arn", "SubscribeURL": "https://x"}) == []


def test_a_bad_part_of_a_batch_is_given_back_beside_the_good_ones() -> None:
    found = decode_each(_sqs(json.dumps({"Records": [record("a.txt")]}), "no json", '{"odd": 1}'))
    assert [event.ref.key for event in found.events] == ["a.txt"]
    assert [(each.body, each.reason) for each in found.refused] == [
        ("no json", "the body is no JSON"),
        ('{"odd": 1}', "no known shape of event: 'odd'"),
    ]


@pytest.mark.parametrize(
    "name", ["s3:ObjectCreated:PutTagging", "ObjectTagging:Put", "s3:ObjectRemoved:NoOP", "ObjectAcl:Put"]
)
def test_what_changes_no_content_is_no_event(name: str) -> None:
    assert decode({"Records": [record("a.txt", name)]}) == []


def test_a_bad_record_costs_the_others_nothing_and_is_kept_by_itself() -> None:
    bad = [{"eventSource": "aws:s3"}, 7, {"eventSource": "aws:sqs"}, record("")]
    found = decode_each({"Records": [record("a.pdf"), *bad, record("b.pdf")]})
    assert [event.ref.key for event in found.events] == ["a.pdf", "b.pdf"]
    assert [json.loads(each.body) for each in found.refused] == bad
    assert keys({"Records": []}) == []
    assert keys(record("c.pdf")) == ["c.pdf"]  # so that a record that was kept can be played again


def test_many_bodies_are_all_taken_or_the_rest_is_kept() -> None:
    whole = [{"bucket": "b", "key": str(number)} for number in range(40_000)]
    assert len(decode_each(whole).events) == 40_000
    found = decode_each([*whole, *whole])
    assert (len(found.events), len(found.refused)) == (50_000, 1)
    assert json.loads(found.refused[0].body) == [*whole, *whole]
    junk = decode_each([0] * 1_000 + whole[:5])
    assert (len(junk.events), [json.loads(each.body)[-1] for each in junk.refused]) == (5, [whole[4]])


def test_azure_names_the_blob_that_was_renamed_and_is_quiet_while_it_is_written() -> None:
    subject = "/blobServices/default/containers/docs/blobs/new.txt"
    body = {"eventType": "Microsoft.Storage.BlobRenamed", "subject": subject}
    source = "https://a.blob.core.windows.net/docs/%EC%98%9B%20a%2Bb.txt"
    assert keys({**body, "data": {"sourceUrl": source}}) == ["new.txt", "옛 a+b.txt"]
    assert keys({**body, "data": {}}) == keys({**body, "data": {"sourceUrl": 7}}) == ["new.txt"]
    created = {"eventType": "Microsoft.Storage.BlobCreated", "subject": subject}
    assert keys({**created, "data": {"api": "CreateFile"}}) == []
    assert keys({**created, "data": {"api": "FlushWithClose"}}) == ["new.txt"]


def test_a_cloud_event_may_carry_its_data_in_base64() -> None:
    data = base64.b64encode(json.dumps({"bucket": "docs", "name": KOREAN}).encode()).decode()
    event = {"specversion": "1.0", "type": "google.cloud.storage.object.v1.finalized", "data_base64": data}
    assert keys(event) == [KOREAN]
    assert decode_each({**event, "data_base64": "!"}).refused


def test_wrappings_end_somewhere() -> None:
    body = "[]"
    for _ in range(12):
        body = json.dumps(body)
    with pytest.raises(Rejected):
        decode(body)
    deep: Any = {"bucket": "b", "key": "k"}
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(Rejected):
        decode(deep)


def test_records_with_odd_sources_do_not_crash() -> None:
    odd = {**record("a.txt"), "eventSource": ["x"], "eventName": {"y": 1}}
    assert decode({"Records": [odd]}) == [ObjectEvent(ObjectRef("nb-sqs", "a.txt"))]


def test_decoding_is_cheap() -> None:
    body = json.dumps({"Records": [record("%ED%95%9C+a.txt")] * 10})
    started = time.process_time()
    for _ in range(200):
        decode(body)
    assert time.process_time() - started < 20
