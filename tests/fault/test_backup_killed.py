"""Backups that are killed, and the commands that make and restore them, as people use them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from s3_to_milvus.bootstrap import restore
from s3_to_milvus.cli.main import main
from s3_to_milvus.engine.backup_folder import LEDGER, MANIFEST, VECTORS, verify
from tests.support.backups import expect_whole, settings_over, write
from tests.support.line import line_over

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(20):
        write(docs, number)
    return docs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


_CHILD = """
import sys
from pathlib import Path
from tests.support.line import line_over
docs, data, folder = map(Path, sys.argv[1:])
with line_over(data, [docs]) as line:
    line.sync()
    number = 0
    print("ready", flush=True)
    while True:
        number += 1
        (docs / "changing.txt").write_text(f"change {number}", encoding="utf-8")
        line.sync()
        line.application.backup.make(folder / str(number))
"""


@pytest.mark.timeout(300)
def test_a_killed_backup_leaves_nothing_that_looks_whole(docs: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    for turn in range(4):
        turns = folder / str(turn)
        turns.mkdir(parents=True)
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(docs), str(data), str(turns)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.1 * turn)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for made in turns.iterdir():
            if made.name.endswith(".unfinished"):
                continue
            assert verify(made).problems == ()
    whole = [path.parent for path in folder.glob(f"*/*/{MANIFEST}") if not path.parent.name.endswith(".unfinished")]
    newest = max(whole, key=lambda path: path.stat().st_mtime)
    restore(settings_over(tmp_path / "restored"), newest, ())
    expect_whole(tmp_path / "restored")
    with line_over(tmp_path / "restored", [docs]) as line:
        line.sync()
        line.expect_equal()
        assert len(line.indexed()) == 21
    with line_over(data, [docs]) as line:
        line.sync()
        line.expect_equal()
        assert not (data / "milvus.db" / "snapshot").exists()


def _command(data: Path, *arguments: str) -> tuple[int, str, str]:
    environment = {"S2M_DATA_DIR": str(data), "S2M_EMBEDDER__KIND": "hash"}
    result = CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_the_commands(docs: Path, data: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "backup")
    with line_over(data, [docs]) as line:
        line.sync()
    code, out, _ = _command(data, "backup", folder, "--json")
    made = json.loads(out)
    assert code == 0
    assert (made["folder"], made["stores"], made["has_vectors"]) == (folder, [LEDGER, VECTORS], True)
    assert _command(data, "backup", folder)[0] == 2, "the folder is not empty"
    code, out, _ = _command(data, "backup", "--verify", folder)
    assert code == 0
    assert out.startswith("whole: ")
    code, out, _ = _command(data, "restore", folder, "--json")
    assert code == 0
    assert json.loads(out)["stores"] == [LEDGER, VECTORS]
    code, out, _ = _command(data, "restore", folder, "--vectors-only")
    assert code == 0
    assert out.startswith("vectors of ")
    assert _command(data, "restore", folder, "--vectors-only", "--ledger-only")[0] == 2
    assert _command(data, "restore", str(docs))[0] == 2
    (tmp_path / "backup" / LEDGER).unlink()
    code, out, _ = _command(data, "backup", "--verify", folder, "--json")
    assert code == 7
    assert json.loads(out)["problems"] == ["ledger.db is missing"]
    code, _, err = _command(data, "restore", folder)
    assert code == 2
    assert "ledger.db is missing" in err
    with line_over(data, [docs]) as line:
        line.expect_equal()
