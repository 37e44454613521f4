"""Real files of every kind, which lie beside the repository; a test that needs one is skipped, visibly, without it."""

import os
from pathlib import Path

import pytest

__all__ = ["CORPUS", "corpus_file"]

_ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("S2M_TEST_CORPUS") or _ROOT.parent / "shared" / "corpus")


def corpus_file(name: str) -> Path:
    """The path of a corpus file."""
    path = CORPUS / name
    if not path.is_file():
        pytest.skip(f"{name}: no corpus in {CORPUS} (set S2M_TEST_CORPUS)")
    return path
