"""Profiles: many settings chosen at once, weaker than everything that is set, stronger than the defaults."""

from collections.abc import Sequence
from typing import Any

from s3_to_milvus.settings.layers import Layer

__all__ = ["PROFILES", "with_profile"]

PROFILES: dict[str, dict[str, dict[str, Any] | list[Any]]] = {
    "local": {},
    # The arrangement of the original system: documents below Milvus/<collection>/, read by Upstage, embedded by OpenAI.
    "cloud": {
        "parser": {"kind": ["upstage", "text", "html", "office", "opendocument", "rtf", "data", "book", "mail", "ocr"]},
        "splitter": {"kind": "recursive"},
        "embedder": {"kind": "openai"},
        "journal": {"kind": "notion"},
        "source": ["s3://*"],
        "routes": [{"prefix": "Milvus/", "needs_folder": True}, {"ignored": True}],
    },
}


def with_profile(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers, and behind them that of the profile that they choose; an unknown one is left to the model."""
    chosen = next((layer.data["profile"] for layer in layers if "profile" in layer.data), "local")
    data = PROFILES.get(chosen) if isinstance(chosen, str) else None
    if not data:
        return tuple(layers)
    name = f"the profile {chosen}"
    places = {
        dotted: name
        for section, values in data.items()
        for dotted in ([f"{section}.{key}" for key in values] if isinstance(values, dict) else [section])
    }
    return (*layers, Layer(name, dict(data), places))
