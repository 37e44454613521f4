"""The data folder is its owner's alone, whatever the mask of the shell, and whatever an earlier version left."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from s3_to_milvus.bootstrap import owner_of
from s3_to_milvus.bootstrap.data_folder import keep_private, tighten
from s3_to_milvus.errors import ConfigError
from tests.support.line import line_over

ROOT = Path(__file__).resolve().parents[2]
_NOBODY = 65_534
_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(autouse=True)
def _careless_shell() -> Iterator[None]:
    mask = os.umask(0o000)
    logging = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**logging)
    os.umask(mask)


def _open_paths(folder: Path) -> dict[str, str]:
    """What others than the owner may use, and its mode."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if mode & 0o077 and not stat.S_ISLNK(mode) and not stat.S_ISSOCK(mode):
            found[str(path.relative_to(folder))] = oct(mode)
    return found


def _index(folder: Path) -> None:
    """A run over two documents, with what is open while the service runs."""
    docs = folder / "docs"
    docs.mkdir()
    docs.chmod(0o755)
    (docs / "small.html").write_text("<p>느티나무</p>")
    (docs / "long.txt").write_text("참나무 " * 4_000)
    (docs / "small.html").chmod(0o644)
    with line_over(folder / "data", [docs], parser__kind=("text", "html")) as line:
        line.sync()
        assert line.indexed() == {"small.html", "long.txt"}
        assert _open_paths(folder / "data") == {}


def test_everything_in_the_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    _index(tmp_path)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert _open_paths(tmp_path / "data") == {}
    # What is not ours keeps its mode.
    assert (tmp_path / "docs").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "docs" / "small.html").stat().st_mode & 0o777 == 0o644


def _earlier(data: Path) -> Path:
    """A data folder as an earlier version made it."""
    (data / "milvus.db" / "docs" / "partitions").mkdir(parents=True)
    for name in ("ledger.db", "ledger.db-wal", "milvus.db/docs/partitions/data.parquet", "door.token", "scratch"):
        (data / name).write_text("x")
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return data


def test_what_an_earlier_version_left_open_is_closed_and_said(tmp_path: Path) -> None:
    data = _earlier(tmp_path / "data")
    with structlog.testing.capture_logs() as lines:
        tighten(data)
        tighten(data)
    assert _open_paths(data) == {}
    assert (data / "ledger.db").stat().st_mode & 0o777 == 0o600
    said = [(line["event"], line.get("count")) for line in lines]
    assert said == [("data_folder.tightened", None), ("data_folder.files_tightened", 8)]


def test_nothing_outside_is_touched(tmp_path: Path) -> None:
    data = _earlier(tmp_path / "data")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("x")
    outside.chmod(0o755)
    (outside / "a.txt").chmod(0o644)
    (data / "milvus.db" / "link").symlink_to(outside)
    (data / "models").symlink_to(outside)
    (data / "ledger.db-link").symlink_to(outside / "a.txt")
    (data / "milvus.db" / "same").hardlink_to(outside / "a.txt")
    tighten(data)
    assert outside.stat().st_mode & 0o777 == 0o755
    assert (outside / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_folder_of_other_things_keeps_its_mode_and_that_is_said(tmp_path: Path) -> None:
    data = _earlier(tmp_path / "data")
    (data / "photos").mkdir()
    (data / "photos").chmod(0o755)
    with structlog.testing.capture_logs() as lines:
        tighten(data)
    assert _open_paths(data) == {".": "0o40755", "photos": "0o40755"}
    assert [line["event"] for line in lines] == ["data_folder.open", "data_folder.files_tightened"]
    assert lines[0]["beside"] == ["photos"]
    assert "S2M_DATA_DIR" in lines[0]["hint"]


def test_a_list_of_access_is_kept(tmp_path: Path) -> None:
    data = _earlier(tmp_path / "data")
    group = 4_321
    try:
        for path in (data, *data.rglob("*")):
            rights = 5 if path.is_dir() else 4
            # https://man7.org/linux/man-pages/man5/acl.5.html: version, then tag, permissions and id of each entry
            entries = [(1, 7), (4, 0), (8, rights, group), (16, rights), (32, rights)]
            parts = [(tag, right, *(who or [0xFFFFFFFF])) for tag, right, *who in entries]
            text = (2).to_bytes(4, "little") + b"".join(
                tag.to_bytes(2, "little") + right.to_bytes(2, "little") + who.to_bytes(4, "little")
                for tag, right, who in parts
            )
            os.setxattr(path, "system.posix_acl_access", text)
    except (OSError, AttributeError):
        pytest.skip("no lists of access on this file system")
    tighten(data)
    modes = {path.stat().st_mode & 0o777 for path in data.rglob("*") if path.is_file()}
    assert all(mode & 0o070 == 0o040 and not mode & 0o007 for mode in modes)
    assert data.stat().st_mode & 0o077 == 0o050


@_as_root
def test_a_folder_of_another_user_is_left_and_that_is_said(tmp_path: Path) -> None:
    data = _earlier(tmp_path / "data")
    os.chown(data, _NOBODY, _NOBODY)
    with structlog.testing.capture_logs() as lines:
        tighten(data)
    assert data.stat().st_mode & 0o777 == 0o755
    assert [(line["event"], line["owner"]) for line in lines] == [("data_folder.open", _NOBODY)]


def test_the_folder_is_closed_from_the_first_moment(tmp_path: Path) -> None:
    keep_private(tmp_path / "a" / "data")
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
    (tmp_path / "new").write_text("x")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


_READER = """
import os, subprocess, sys
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
found = subprocess.run(["cat", *sys.argv[1:]], capture_output=True)
found2 = subprocess.run(["ls", os.path.dirname(sys.argv[1])], capture_output=True)
print(found.returncode, len(found.stdout), found2.returncode, len(found2.stdout))
"""


@_as_root
def test_nobody_else_reads_texts_keys_or_the_token(tmp_path: Path) -> None:
    for place in (tmp_path, *list(tmp_path.parents)[:2]):
        place.chmod(0o755)
    data = _earlier(tmp_path / "data")
    tighten(data)
    files = [str(path) for path in data.rglob("*") if path.is_file()]
    run = subprocess.run(
        [sys.executable, "-S", "-c", _READER.format(nobody=_NOBODY), *files], capture_output=True, text=True
    )
    if run.returncode:
        pytest.skip("another user can't start this interpreter")
    assert run.stdout.split() == ["1", "0", "2", "0"]


@_as_root
def test_a_command_of_another_user_says_whose_the_folder_is(tmp_path: Path) -> None:
    for place in (tmp_path, *list(tmp_path.parents)[:2]):
        place.chmod(0o755)
    data = _earlier(tmp_path / "data")
    (data / "owner.lock").write_text("{}")
    tighten(data)
    os.seteuid(_NOBODY)
    try:
        with pytest.raises(ConfigError, match="another user's") as caught:
            owner_of(data)
    finally:
        os.seteuid(0)
    assert "sudo -u" in caught.value.hint
