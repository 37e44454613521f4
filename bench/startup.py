"""What a command costs before it does anything: CPU of ``--help``, ``search`` and ``sync`` with nothing to do.

Each is run ten times as a process of its own over 200 files with the hash embedder; the median counts.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.corpus import make_folder
from bench.tools import ROOT, cpu_s, head, line, percentile

__all__ = ["main"]

_TIMES = 10


def _cost_ms(command: Sequence[str], environment: dict[str, str], times: int = _TIMES) -> tuple[float, float]:
    """CPU and wall milliseconds, the medians."""
    cpu, wall = [], []
    for _ in range(times):
        began, began_cpu = time.perf_counter(), cpu_s()
        subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, capture_output=True)
        cpu.append((cpu_s() - began_cpu) * 1e3)
        wall.append((time.perf_counter() - began) * 1e3)
    return percentile(cpu, 0.5), percentile(wall, 0.5)


def main() -> None:
    """Print a table."""
    head()
    ours = ("-m", "s3_to_milvus.cli.main")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "docs")
        make_folder(folder, 200)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("S2M_")}
        environment |= {"S2M_DATA_DIR": f"{name}/data", "S2M_EMBEDDER__KIND": "hash"}
        bare, _ = _cost_ms(("-c", "pass"), environment)
        line("bare Python: CPU", bare, "ms")
        helping, _ = _cost_ms((*ours, "--help"), environment)
        line("s3-to-milvus --help: CPU", helping, "ms", 150)
        line("s3-to-milvus --help: CPU beside bare Python", helping / bare, "times")
        _cost_ms((*ours, "sync", str(folder)), environment, 1)
        for what, arguments in (("sync, nothing to do", ("sync", str(folder))), ("search", ("search", "휴가 신청"))):
            cpu, wall = _cost_ms((*ours, *arguments), environment)
            line(f"{what}: CPU", cpu, "ms")
            line(f"{what}: wall", wall, "ms")


if __name__ == "__main__":
    main()
