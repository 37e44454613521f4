"""Every value in force and where it came from, with secrets hidden: what the `config` command prints."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretBytes, SecretStr

if TYPE_CHECKING:
    from s3_to_milvus.settings.model import Settings

__all__ = ["HIDDEN", "Explained", "explain", "is_secret_name", "shown"]

HIDDEN = "********"
_SECRET_NAME = re.compile(r"(?:^|[._])(?:key|token|secrets?|passwords?|passphrase|dsn)(?:_id)?(?:\.\d+)?$")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@dataclass(frozen=True, slots=True)
class Explained:
    """A dotted name, its value (secrets hidden), and where it came from."""

    name: str
    value: Any
    source: str


def is_secret_name(name: str) -> bool:
    """True where a value of this name must never be shown. A test holds every adapter's secrets to these names."""
    return bool(_SECRET_NAME.search(name))


def shown(name: str, value: Any) -> Any:
    """The value as people may see it."""
    if isinstance(value, SecretStr | SecretBytes) or (is_secret_name(name) and value not in (None, "", ())):
        return HIDDEN
    if isinstance(value, str):
        return _USER_IN_URL.sub(HIDDEN, value)
    if isinstance(value, dict):
        return {key: shown(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shown(name, inner) for inner in value]
    return value


def explain(settings: "Settings", options: Mapping[str, BaseModel] | None = None) -> list[Explained]:
    """All values in the order of the settings.

    ``options`` adds the checked options of adapters in use by dotted name (``{"parser.text": ...}``), so that their
    defaults are listed, too.
    """
    values = dict(_flat(settings))
    for prefix, model in (options or {}).items():
        values.update({f"{prefix}.{key}": getattr(model, key) for key in type(model).model_fields})
    return [Explained(name, _plain(shown(name, value)), _source(settings, name)) for name, value in values.items()]


def _source(settings: "Settings", name: str) -> str:
    return next(iter(settings.places_of(name)), "default")


def _flat(model: BaseModel, above: str = "") -> Iterator[tuple[str, Any]]:
    for key in type(model).model_fields:
        value = getattr(model, key)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
    for table, raw in (model.model_extra or {}).items():
        for key, value in raw.items():
            yield f"{above}{table}.{key}", value


def _plain(value: Any) -> Any:
    """Values that JSON can hold."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)
