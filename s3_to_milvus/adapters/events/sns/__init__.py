"""Messages of Amazon SNS over HTTP: whether SNS itself signed them, and the confirmation of subscriptions."""

from s3_to_milvus.adapters.events.sns.certificates import Certificates, fetched
from s3_to_milvus.adapters.events.sns.confirming import confirm
from s3_to_milvus.adapters.events.sns.signing import SnsMessages

__all__ = ["Certificates", "SnsMessages", "confirm", "fetched"]
