"""S3 and everything that speaks its protocol, by boto3: the only client that is exact for every key."""

from s3_to_milvus.adapters.object_stores.s3.store import S3Store

__all__ = ["S3Store"]
