"""What a linter of containers looks for, and that both files name what is really there. They are not built here."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_the_image_runs_as_nobody_special_and_can_be_read_only() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    user = re.search(r"^USER (\d+)$", last, re.MULTILINE)  # a number: Kubernetes' runAsNonRoot asks for one
    assert user is not None
    assert int(user[1]) > 0
    assert f"--uid {user[1]} " in last
    assert last.index(user[0]) < last.index("CMD")
    assert "HEALTHCHECK" in last
    assert "S2M_DATA_DIR=/data" in last
    assert ":latest" not in DOCKERFILE
    assert "sudo" not in DOCKERFILE


def test_what_is_copied_is_there_and_is_let_in() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert source in allowed
    assert not {"data", ".env", ".git"} & allowed


def test_the_installer_is_the_one_that_scripts_use() -> None:
    wanted = re.search(r"UV_VERSION=(\S+)", (ROOT / "scripts" / "install").read_text())
    assert wanted is not None
    assert f"uv=={wanted[1]}" in DOCKERFILE
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    command = re.search(r'^CMD \["([^"]+)", "serve"\]$', DOCKERFILE, re.MULTILINE)
    assert command is not None
    assert command[1] in scripts


def test_compose_opens_one_port_on_this_machine_only() -> None:
    services = COMPOSE["services"]
    assert [service for service, each in services.items() if "ports" in each] == ["s3-to-milvus"]
    ours = services["s3-to-milvus"]
    assert ours["ports"] == ["127.0.0.1:8510:8510"]
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert all(re.search(r":v?\d", each["image"]) for name, each in services.items() if name != "s3-to-milvus")
    used = {volume.partition(":")[0] for each in services.values() for volume in each.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])
