"""Read the settings from outside, or say what is wrong with them and where it stands."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from s3_to_milvus.errors import ConfigError
from s3_to_milvus.settings.explain import is_secret_name, shown
from s3_to_milvus.settings.layers import Layer, as_variable, read_layers
from s3_to_milvus.settings.model import LAYERS, Settings, TableSettings

__all__ = ["load", "unknown"]

_UNKNOWN = ("extra_forbidden", "dict_type")


def load(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """The settings in force. ``arguments`` by dotted name (``{"embedder.kind": "hash"}``), None values are left out.

    ``environ`` is the environment of the process and ``folder`` (where ``.env`` and the configuration file are looked
    for) the current one, unless given. Raises `ConfigError` that names every wrong value and every place looked at.
    """
    layers = read_layers(arguments or {}, os.environ if environ is None else environ, (folder or Path()).absolute())
    token = LAYERS.set(layers)
    try:
        settings = Settings()
    except ValidationError as exc:
        raise ConfigError(_message(exc.errors(), layers)) from None
    finally:
        LAYERS.reset(token)
    settings._layers = layers
    return settings


def unknown(name: str, known: Sequence[str]) -> str:
    """What to say about a name that is not known: the nearest known one, else all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"


def _message(errors: Sequence[ErrorDetails], layers: Sequence[Layer]) -> str:
    lines = list(dict.fromkeys(_line(error, layers) for error in errors))
    head = "A setting is wrong" if len(lines) == 1 else f"{len(lines)} settings are wrong"
    places = "; ".join([*(layer.name for layer in layers), "defaults"])
    return "\n".join([f"{head}:", *(f"- {line}" for line in lines), f"Looked in this order: {places}."])


def _line(error: ErrorDetails, layers: Sequence[Layer]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    found = [place for layer in layers if (place := layer.place_of(name)) is not None]
    where = ", ".join(dict.fromkeys(found)) or f"set it with {as_variable(name)}"
    if error["type"] in _UNKNOWN and (fields := _fields_beside(error["loc"])) is not None:
        return f"{name} ({where}): unknown; {unknown(str(error['loc'][-1]), fields)}"
    if error["type"] == "model_type":
        return f"{name} ({where}): is a table of settings, such as {name}.kind or {as_variable(name)}__KIND"
    value = "" if error["type"] == "missing" else f" = {_quoted(name, error['input'])}"
    return f"{name}{value} ({where}): {error['msg']}"


def _quoted(name: str, value: object) -> str:
    return repr(shown(name, value)) if not is_secret_name(name) else "********"


def _fields_beside(location: Sequence[str | int]) -> list[str] | None:
    """Names that were possible where the last one stands; None where it is one of them."""
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_of(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    if location[-1] in model.model_fields:
        return None
    tables = ["a table named after an adapter"] if issubclass(model, TableSettings) else []
    return [*model.model_fields, *tables]


def _model_of(annotation: object) -> type[BaseModel] | None:
    """The model in a field's type: the type itself, or what a tuple holds."""
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
