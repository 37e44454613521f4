"""SNS over HTTP: a topic asks once whether its messages are welcome, and is answered by opening an address.

https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html
"""

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from s3_to_milvus.errors import Rejected, Unavailable

__all__ = ["confirm"]

_TYPE = "SubscriptionConfirmation"
_HOST = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
_TIMEOUT_S = 10.0


def _status_of(address: str) -> int:
    import httpx

    return httpx.get(address, timeout=_TIMEOUT_S, follow_redirects=False).status_code


def confirm(content: bytes, opened: Callable[[str], int] = _status_of) -> bool:
    """Confirm the subscription that a body asks for; False: it asks for none, and nothing was opened.

    ``opened`` opens an address and gives the status. Only addresses of SNS itself are opened.
    Raises `Rejected` for any other address, `Unavailable` where SNS did not confirm.
    """
    address = _address_in(content)
    if address is None:
        return False
    if not _is_of_sns(address):
        raise Rejected("The subscription is to be confirmed at an address that is not of SNS: it was not opened.")
    try:
        status = opened(address)
    except Exception as error:
        raise Unavailable(f"SNS cannot be reached to confirm the subscription: {type(error).__name__}.") from error
    if not 200 <= status < 300:
        raise Unavailable(f"SNS did not confirm the subscription ({status}).")
    return True


def _address_in(content: bytes) -> str | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("Type") != _TYPE:
        return None
    return str(body.get("SubscribeURL", ""))


def _is_of_sns(address: str) -> bool:
    try:
        parts = urlsplit(address)
        is_plain = parts.port in (None, 443) and parts.username is None and parts.scheme == "https"
    except ValueError:
        return False
    asked = parse_qs(parts.query).get("Action")
    return is_plain and asked == ["ConfirmSubscription"] and _HOST.fullmatch(parts.hostname or "") is not None
