"""Read the settings from outside, or say what is wrong with them and where it stands."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from s3_to_milvus.errors import ConfigError
from s3_to_milvus.settings.layers import Layer, read_layers
from s3_to_milvus.settings.model import LAYERS, Settings
from s3_to_milvus.settings.problems import describe
from s3_to_milvus.settings.profiles import with_profile

__all__ = ["load"]


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
    place = (folder or Path()).absolute()
    layers = with_profile(read_layers(arguments or {}, os.environ if environ is None else environ, place))
    token = LAYERS.set(layers)
    try:
        settings = Settings()
    except ValidationError as exc:
        raise ConfigError(_message(exc, layers)) from None
    finally:
        LAYERS.reset(token)
    settings._layers = layers
    return settings


def _message(exc: ValidationError, layers: tuple[Layer, ...]) -> str:
    def places_of(name: str) -> list[str]:
        return [place for layer in layers if (place := layer.place_of(name)) is not None]

    lines = describe(exc.errors(), Settings, places_of)
    head = "A setting is wrong" if len(lines) == 1 else f"{len(lines)} settings are wrong"
    places = "; ".join([*(layer.name for layer in layers), "defaults"])
    return "\n".join([f"{head}:", *(f"- {line}" for line in lines), f"Looked in this order: {places}."])
