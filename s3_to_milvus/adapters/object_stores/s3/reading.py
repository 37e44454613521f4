"""Reading objects: one conditional GET decides everything, HEAD decides nothing (it can't tell key from bucket)."""

import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3_to_milvus.adapters.object_stores.s3.failures import (
    error_code,
    is_not_modified,
    saying_what_is_missing,
    translated,
)
from s3_to_milvus.adapters.object_stores.s3.listing import bare_etag
from s3_to_milvus.domain.objects import ListedObject, ObjectRef, ObjectVersion
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.ports import UNCHANGED, Unchanged

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client

__all__ = ["Reader", "S3Content"]

_OK = 200


class Reader:
    """Opens objects through a boto3 client."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def get(self, ref: ObjectRef, unless: ObjectVersion | None) -> "S3Content | Unchanged | None":
        """See `ObjectStore.get`."""
        if not ref.key:
            return None
        request: dict[str, Any] = {"Bucket": ref.bucket, "Key": ref.key}
        if unless is not None and unless.etag:
            request["IfNoneMatch"] = unless.etag if '"' in unless.etag else f'"{unless.etag}"'
        what = f"reading {ref.bucket}/{ref.key}"
        with translated(what):
            try:
                answer: dict[str, Any] = dict(self._client.get_object(**request))
            except ClientError as error:
                if "IfNoneMatch" in request and is_not_modified(error):
                    return UNCHANGED
                if error_code(error) == "NoSuchKey":
                    return None
                raise
        body: StreamingBody = answer["Body"]
        version = _version(answer)
        if version is not None and not version.is_same_as(unless) and (version.size_bytes or not ref.is_folder_name):
            return S3Content(body, version, what)
        body.close()
        if version is None:
            raise Unavailable(f"{what}: an answer without an ETag or a length: is this an S3 server?")
        return UNCHANGED if version.is_same_as(unless) else None

    def probe(self, bucket: str, listed: ListedObject | None) -> None:
        """Prove that a missing key is told apart, and that one that is there can be read."""
        with saying_what_is_missing("s3:ListBucket or s3:GetObject"):
            if self.get(ObjectRef(bucket, f"s3-to-milvus-check/{uuid.uuid4().hex}"), None) is not None:
                raise Unavailable(f"{bucket!r} gives an answer for keys that are not there: is this an S3 server?")
            found = self.get(ObjectRef(bucket, listed.key), None) if listed else None
        if isinstance(found, S3Content):
            found.close()


class S3Content:
    """The body of one GET, bound to the version that the answer named. See `Content`."""

    __slots__ = ("_body", "_unread", "_what", "version")

    def __init__(self, body: "StreamingBody", version: ObjectVersion, what: str) -> None:
        self.version = version
        self._body = body
        self._unread = version.size_bytes
        self._what = what

    def read(self, size: int = -1) -> bytes:
        """See `Content.read`. A connection that breaks raises `Unavailable`."""
        with translated(self._what):
            data: bytes = self._body.read(None if size < 0 else size)
        self._unread -= len(data)
        is_end = size < 0 or (not data and size > 0)
        if self._unread < 0 or (is_end and self._unread):
            raise Unavailable(f"{self._what}: the body has not the length that was announced")
        return data

    def close(self) -> None:
        """Give the connection back, or drop it if the body was not read. May be called twice."""
        self._body.close()


def _version(answer: dict[str, Any]) -> ObjectVersion | None:
    """The version an answer is bound to; None when it does not say."""
    etag, size, modified = answer.get("ETag"), answer.get("ContentLength"), answer.get("LastModified")
    if not etag or size is None or answer["ResponseMetadata"]["HTTPStatusCode"] != _OK:
        return None
    return ObjectVersion(bare_etag(etag), size, answer.get("VersionId"), modified.timestamp() if modified else None)
