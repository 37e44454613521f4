"""Bodies of events as the engine's hints."""

from s3_to_milvus.domain.objects import ObjectEvent

__all__ = ["decode_event"]


def decode_event(body: object) -> list[ObjectEvent]:
    """Every object that a JSON body names. Raises `Rejected` for a body that nobody understands."""
    from s3_to_milvus.adapters.events.notification import decode

    return decode(body)
