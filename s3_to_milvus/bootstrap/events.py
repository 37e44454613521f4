"""Bodies of events as the engine's hints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s3_to_milvus.domain.objects import ObjectEvent
from s3_to_milvus.domain.quarantine import Decoded

if TYPE_CHECKING:
    from s3_to_milvus.adapters.events.sns import SnsMessages

__all__ = ["confirm_subscription", "decode_each", "decode_event", "sns_messages"]


def decode_each(body: object) -> Decoded:
    """As `decode_event`, but what is not understood is given back beside the events."""
    from s3_to_milvus.adapters.events.notification import decode_each as decode

    return decode(body)


def decode_event(body: object) -> list[ObjectEvent]:
    """Every object that a JSON body names. Raises `Rejected` for a body that nobody understands."""
    from s3_to_milvus.adapters.events.notification import decode

    return decode(body)


def confirm_subscription(content: bytes) -> bool:
    """Confirm the subscription of SNS that a body asks for; False: none. Raises `Rejected`, `Unavailable`."""
    from s3_to_milvus.adapters.events.sns import confirm

    return confirm(content)


def sns_messages(topics: Sequence[str]) -> "SnsMessages":
    """What knows the signed messages of these topics of SNS."""
    from s3_to_milvus.adapters.events.sns import SnsMessages

    return SnsMessages(topics)
