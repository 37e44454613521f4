"""Bodies of notifications as events: which objects to look at. Pure; nothing in a body is trusted further."""

from s3_to_milvus.adapters.events.notification.decoding import decode, decode_each

__all__ = ["decode", "decode_each"]
