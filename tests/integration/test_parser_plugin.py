"""The guide "add a parser" works as printed: its package is installed through its entry point, proved and used."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "howto" / "add-a-parser.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SUBTITLES = (
    "1\n00:00:01,000 --> 00:00:02,000\n고래는 바다에 산다.\n\n2\n00:00:03,000 --> 00:00:04,000\nElephants do not.\n"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an installer leaves it: modules, and the metadata that `pyproject.toml` asks for."""
    project, parser, proof = (text for _, text in _BLOCK.findall(GUIDE.read_text(encoding="utf-8"))[:3])
    settings: dict[str, Any] = tomllib.loads(project)["project"]
    place = tmp_path_factory.mktemp("site-packages")
    (place / "subtitles.py").write_text(parser, encoding="utf-8")
    (place / "test_subtitles.py").write_text(proof, encoding="utf-8")
    info = place / f"{settings['name'].replace('-', '_')}-{settings['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {settings['name']}\nVersion: {settings['version']}\n", encoding="utf-8"
    )
    lines = [
        line
        for group, points in settings["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return place


def _run(installed: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("S2M_")}
    environ = kept | {"PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"} | more
    return subprocess.run(
        [sys.executable, "-m", *command], env=environ, cwd=installed, capture_output=True, text=True, check=False
    )


def test_it_passes_the_contract(installed: Path) -> None:
    run = _run(installed, "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", "test_subtitles.py")
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\b1\d passed", run.stdout)


def test_its_files_are_found_by_what_they_say(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "고래.srt").write_text(SUBTITLES, encoding="utf-8")
    (tmp_path / "docs" / "memo.txt").write_text("Penguins swim.", encoding="utf-8")
    settings = {
        "S2M_DATA_DIR": str(tmp_path / "data"),
        "S2M_EMBEDDER__KIND": "hash",
        "S2M_PARSER__KIND": '["subtitles", "text"]',
        "S2M_PARSER__SUBTITLES__WITH_TIMES": "true",
    }
    cli = "s3_to_milvus.cli.main"
    assert "ok  parser subtitles: subtitles: ready" in _run(installed, cli, "doctor", **settings).stdout
    sync = _run(installed, cli, "sync", str(tmp_path / "docs"), "--json", **settings)
    assert sync.returncode == 0, sync.stdout + sync.stderr
    assert json.loads(sync.stdout)["added"] == 2
    hits = json.loads(_run(installed, cli, "search", "고래는 바다에 산다", "--json", **settings).stdout)["hits"]
    assert hits[0]["key"] == "고래.srt"
    assert "00:00:01 고래는 바다에 산다." in hits[0]["text"]
    assert "-->" not in hits[0]["text"]
