"""Real `kill -9` of the real service at named points while its folder changes: nothing lost, nothing doubled."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fault.killing.points import AT_REST, POINTS

ROOT = Path(__file__).resolve().parents[2]
WORLDS = 2
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def _kill(folder: Path, kills: int, seed: int, *more: str) -> list[dict[str, Any]]:
    """What was found in each world."""
    command = [sys.executable, "-m", "tests.fault.killing.program", str(folder), str(WORLDS), str(kills), str(seed)]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    return [json.loads((folder / f"world-{number}" / "result.json").read_text()) for number in range(WORLDS)]


def _expect_exactness(found: dict[str, Any]) -> None:
    """Bucket, ledger and Milvus are equal; each version that a search showed was a whole one, never an older."""
    last = found["last"]
    assert found["wrong"] == []
    assert last["check"] == ""
    assert (last["unsettled"], last["due"], last["undelivered"]) == (0, None, 0)
    assert last["failed"] == [[key, "unsupported_format"] for key in found["refused"]]
    assert last["rows"] > last["files"] // 2
    assert last["indexed"]


def _expect_kills(results: list[dict[str, Any]], kills: int) -> None:
    killed: Counter[str] = Counter()
    for found in results:
        killed.update(found["killed"])
    assert killed.total() - killed[AT_REST] >= kills
    assert set(killed) <= {*POINTS, AT_REST}
    # A rare one may not have come up; those around rows and the ledger's word for them must have.
    assert len(killed) > len(POINTS) * 3 // 4, sorted(set(POINTS) - set(killed))


@pytest.mark.timeout(1_600)
def test_two_hundred_kills_lose_nothing_and_leave_nothing_twice(tmp_path):
    results = _kill(tmp_path, 200, 2026)
    for found in results:
        _expect_exactness(found)
    _expect_kills(results, 200)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_kills(tmp_path, seed):
    for found in _kill(tmp_path, 1_000, 100 * seed):
        _expect_exactness(found)


def test_rows_that_nobody_cleans_up_are_noticed(tmp_path):
    results = _kill(tmp_path, 8, 1, "after insert", "before commit", "--forgetful")
    assert any(found["wrong"] and found["last"]["check"] for found in results)
