"""Power cuts under load, on a real file system: what was acknowledged is there, before anything repairs it."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from s3_to_milvus.domain.objects import ObjectRef
from tests.support.power import Disk, acknowledged, lost_rows, standing_still, why_not

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "can be done"),
]
CUTS = 60
ROOT = Path(__file__).parents[2]


def _write(folder: Path, draw: random.Random, number: int) -> None:
    key = f"team{number % 3}/doc{draw.randrange(60)}.txt"
    text = "\n\n".join(f"word{number} paragraph {each} " + "filler " * draw.randrange(200) for each in range(5))
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and draw.random() < 0.2:
        path.unlink()
    else:
        path.write_text(text, encoding="utf-8")


def test_no_acknowledged_row_is_lost(tmp_path: Path) -> None:
    seed = time.time_ns()
    draw, docs = random.Random(seed), tmp_path / "docs"
    docs.mkdir()
    disk = Disk.make(tmp_path / "disk.img")
    cuts: list[tuple[Disk, dict[ObjectRef, int]]] = []
    with disk.mounted(tmp_path / "disk") as folder:
        environment = {
            "PATH": "/usr/bin:/bin",
            "S2M_DATA_DIR": str(folder / "data"),
            "S2M_SOURCE": str(docs),
            "S2M_EMBEDDER__KIND": "hash",
            "S2M_PORT": "0",
            "S2M_LOG__LEVEL": "error",
        }
        command = [str(Path(sys.executable).with_name("s3-to-milvus")), "serve", "--json"]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                for number in range(CUTS):
                    until = time.monotonic() + draw.uniform(0.05, 1.0)
                    while time.monotonic() < until:
                        _write(docs, draw, draw.randrange(10**6))
                        time.sleep(draw.uniform(0, 0.02))
                    with standing_still(process.pid):
                        expected = acknowledged(folder / "data")
                        cuts.append((disk.cut(tmp_path / f"cut{number}.img", process.pid), expected))
            finally:
                process.kill()
    assert sum(len(expected) for _, expected in cuts) > CUTS * 10, "the cuts came under load"
    for number, (cut, expected) in enumerate(cuts):
        with cut.mounted(tmp_path / "cut") as folder:
            assert lost_rows(folder / "data", expected) == [], f"cut {number} of seed {seed}"
        cut.image.unlink()
