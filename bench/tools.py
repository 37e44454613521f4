"""What benchmarks share: figures beside what is wanted, the product over a folder, the service as a process."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from s3_to_milvus.bootstrap import Application

__all__ = ["ROOT", "build_app", "cpu_s", "head", "is_found", "line", "percentile", "run_part", "serving", "wait"]

ROOT = Path(__file__).resolve().parent.parent


def head() -> None:
    """The first lines of a table of figures."""
    print("| what | measured | wanted | |\n| --- | --- | --- | --- |", flush=True)


def line(what: str, measured: float, unit: str, wanted: float | None = None, *, is_least: bool = False) -> None:
    """One figure, and whether it is at most (``is_least``: at least) what is wanted."""
    is_round = abs(measured) >= 100 or isinstance(measured, int)
    figure = f"{measured:,.0f}" if is_round else f"{measured:,.2f}"
    if wanted is None:
        print(f"| {what} | {figure} {unit} | | |", flush=True)
        return
    is_met = measured >= wanted if is_least else measured <= wanted
    sign = "≥" if is_least else "≤"
    print(f"| {what} | {figure} {unit} | {sign} {wanted:,g} {unit} | {'met' if is_met else '**missed**'} |", flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def build_app(folder: Path, data: Path, **more: Any) -> "Application":
    """The product over ``folder``, its data in ``data``, with the hash embedder; nothing runs yet."""
    from s3_to_milvus.bootstrap import build, configure_logging
    from s3_to_milvus.settings import load

    wanted = {"data_dir": data, "embedder.kind": "hash", "log.level": "warning", **more}
    settings = load(wanted, environ={}, folder=folder.parent)
    configure_logging(settings.log)
    return build(settings, [str(folder)])


def run_part(module: str, *arguments: object) -> dict[str, Any]:
    """Run a part of a benchmark in a process of its own; the JSON of its last line."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


@contextmanager
def serving(source: Path | str, data: Path, **more: str) -> Iterator[tuple[str, int]]:
    """The service over ``source`` as a process of its own, as people start it: its URL and process id."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("S2M_")}
    given = {"S2M_DATA_DIR": str(data), "S2M_EMBEDDER__KIND": "hash", "S2M_LOG__LEVEL": "warning", **more}
    command = [sys.executable, "-m", "s3_to_milvus.cli.main", "serve", "--port", "0", "--source", str(source)]
    with subprocess.Popen(
        command, cwd=ROOT, env=kept | given, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        try:
            yield _url_in(process.stderr), process.pid
        finally:
            process.terminate()
            rest = process.stderr.read()
            if process.wait() not in (0, 130):
                sys.stderr.write(rest)


def _url_in(lines: Iterator[str]) -> str:
    for text in lines:
        if found := re.search(r"http://\S+", text):
            return found.group()
        sys.stderr.write(text)
    raise RuntimeError("the service did not start")


def is_found(client: "httpx.Client", word: str) -> bool:
    """Whether the service's best hit for a word has it."""
    answer = client.post("/api/v1/search", json={"query": word, "top": 1}).raise_for_status()
    hits = answer.json()["hits"]
    return bool(hits) and word in hits[0]["text"]


def wait(is_done: Callable[[], bool], step_s: float = 0.002, give_up_s: float = 20.0) -> None:
    """Wait until something holds. Raises `RuntimeError` where it does not in time."""
    give_up_at = time.monotonic() + give_up_s
    while not is_done():
        if time.monotonic() > give_up_at:
            raise RuntimeError("nothing came")
        time.sleep(step_s)
