"""The built graph of the local model, kept between test runs: building it costs some seconds and 600 MB."""

from pathlib import Path

__all__ = ["MODELS"]

MODELS = Path(__file__).parents[2] / ".tools" / "models"
