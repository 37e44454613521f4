"""Real files of every kind, which lie beside the repository; tests that need them are skipped, visibly, without them.

Each kind of document is tested without them, too: `tests/support/made` makes a file of every kind.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["CORPUS", "corpus_cases", "corpus_file", "require_corpus"]

_ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("S2M_TEST_CORPUS") or _ROOT.parent / "shared" / "corpus")
_MISSING = f"real files only: no corpus in {CORPUS} (set S2M_TEST_CORPUS)"


def require_corpus() -> None:
    """For the head of a module that is about real files only: one skip for all of it."""
    if not CORPUS.is_dir():
        pytest.skip(_MISSING, allow_module_level=True)


def corpus_cases(cases: Sequence[Any]) -> list[Any]:
    """For `parametrize`: the cases about real files; one that is skipped where there are none."""
    if CORPUS.is_dir():
        return list(cases)
    first = cases[0] if isinstance(cases[0], tuple) else (cases[0],)
    return [pytest.param(*first, id="real files", marks=pytest.mark.skip(_MISSING))]


def corpus_file(name: str) -> Path:
    """The path of a corpus file."""
    path = CORPUS / name
    if not path.is_file():
        pytest.skip(_MISSING if not CORPUS.is_dir() else f"{name} is not in {CORPUS}")
    return path
