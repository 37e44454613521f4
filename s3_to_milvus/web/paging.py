"""Objects in URLs: page marks (the last object of a page), and keys that no Unicode can spell."""

import base64
import binascii
import json
from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.types import Scope

from s3_to_milvus.domain.objects import ObjectRef, sort_key
from s3_to_milvus.domain.records import ObjectStatus
from s3_to_milvus.errors import ConfigError

__all__ = ["after_of", "exact_query", "next_of"]


def exact_query(scope: Scope, name: str) -> str:
    """The last value of a query parameter, undecodable bytes kept as lone surrogates; empty where there is none."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    values: dict[str, str] = dict(pairs)
    return values.get(name, "")


def next_of(page: Sequence[ObjectStatus], limit: int) -> str | None:
    """The mark of the last object; None where there can't be another page."""
    if len(page) < limit:
        return None
    ref = page[-1].ref
    return base64.urlsafe_b64encode(json.dumps([ref.bucket, ref.key]).encode()).decode()


def after_of(mark: str | None) -> ObjectRef | None:
    """The object a mark names; it need not exist any more. Raises `ConfigError` for a mark that is not ours."""
    if not mark:
        return None
    try:
        found = json.loads(base64.b64decode(mark, altchars=b"-_", validate=True))
        if isinstance(found, list) and len(found) == 2 and all(isinstance(each, str) for each in found):
            bucket, key = found
            sort_key(bucket + key)  # a lone surrogate that stands for no byte has no place in any order
            return ObjectRef(bucket, key)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        pass
    raise ConfigError("`after` is no mark of a page.", hint="Use `next` of the page before, unchanged.")
