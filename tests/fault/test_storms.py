"""The real service is killed, stopped and frozen while it is at work: no document is buried, none is lost."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _storm(folder: Path, kills: int, lease_s: int, name: str, seed: int = 7) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "tests.fault.killing.storm",
        str(folder),
        str(kills),
        str(lease_s),
        str(seed),
        name,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _expect_all(found: dict[str, Any]) -> None:
    assert (found["failed"], found["waiting"], found["indexed"]) == ([], 0, found["files"])
    assert found["files"] > 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lease_s", [5, 60])
def test_the_real_service_is_killed_whenever_it_is_at_work_and_buries_nothing(tmp_path, lease_s):
    _expect_all(_storm(tmp_path, 12, lease_s, "KILL"))


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("lease_s", [5, 60])
def test_two_hundred_kills_at_work_bury_nothing(tmp_path, lease_s):
    _expect_all(_storm(tmp_path, 200, lease_s, "KILL", seed=lease_s))


@pytest.mark.timeout(600)
def test_the_real_service_is_stopped_while_it_is_at_work_and_buries_nothing(tmp_path):
    _expect_all(_storm(tmp_path, 6, 5, "TERM"))


@pytest.mark.timeout(600)
def test_the_real_service_stands_still_for_longer_than_its_lease_and_buries_nothing(tmp_path):
    _expect_all(_storm(tmp_path, 2, 1, "STOP"))
