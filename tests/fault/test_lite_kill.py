"""Milvus Lite and SIGKILL: what was acknowledged is there, what was deleted is gone, and it always opens again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "lite_kills.py"
KILLS = 24


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_nothing_is_lost_when_it_is_killed(tmp_path: Path) -> None:
    root = PROGRAM.parents[2]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), str(KILLS), "100"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-2_000:]
    checks = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("checked")]
    assert len(checks) >= KILLS * 2 // 3
    assert [wrong for _, _, wrong in checks if wrong] == []
    assert int(checks[-1][1]) > KILLS, "the workers did hardly anything before they were killed"
