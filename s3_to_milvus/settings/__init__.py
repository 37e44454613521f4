"""The settings: what may be set, where each value came from, and clear words where one is wrong."""

from s3_to_milvus.settings.explain import HIDDEN, Explained, explain, is_secret_name
from s3_to_milvus.settings.layers import CONFIG_FILE, ORIGINAL_NAMES, Layer, as_variable
from s3_to_milvus.settings.load import load
from s3_to_milvus.settings.model import (
    AdapterSettings,
    AdaptersSettings,
    AuthSettings,
    EngineSettings,
    LogSettings,
    ParsingSettings,
    RouteSettings,
    Settings,
    TableSettings,
)
from s3_to_milvus.settings.problems import describe, nearest

__all__ = [
    "CONFIG_FILE",
    "HIDDEN",
    "ORIGINAL_NAMES",
    "AdapterSettings",
    "AdaptersSettings",
    "AuthSettings",
    "EngineSettings",
    "Explained",
    "Layer",
    "LogSettings",
    "ParsingSettings",
    "RouteSettings",
    "Settings",
    "TableSettings",
    "as_variable",
    "describe",
    "explain",
    "is_secret_name",
    "load",
    "nearest",
]
