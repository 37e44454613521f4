"""What a folder can do to a store: links, pipes, rights, names, clocks, disks that go away."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from s3_to_milvus.adapters.object_stores.folder import FolderStore
from s3_to_milvus.domain.objects import ObjectRef, ObjectVersion, sort_key
from s3_to_milvus.errors import Unavailable, UnreadableDocument
from s3_to_milvus.ports import UNCHANGED
from s3_to_milvus.testing.contracts.object_store import opened

TICK_S = 0.02


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(FolderStore.Options(), {"b": root})


def keys(store: FolderStore, prefix: str = "") -> list[str]:
    return [listed.key for listed in store.list("b", prefix)]


def read(store: FolderStore, key: str) -> bytes | None:
    found = store.get(ObjectRef("b", key))
    if found is None:
        return None
    content = opened(found)
    try:
        return content.read()
    finally:
        content.close()


def test_undecodable_names_survive(store: FolderStore, root: Path) -> None:
    for name in (b"\xff.txt", b"a\xe9/b\xfe.txt", "가.txt".encode("cp949"), b"\xf0\x9f\x98\x80", b"\xee\x80\x80"):
        path = os.path.join(os.fsencode(root), name)  # noqa: PTH118 - bytes
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(name)
    found = keys(store)
    assert found == sorted(found, key=sort_key)
    assert len(found) == 5
    assert [read(store, key) for key in found] == [sort_key(key) for key in found]


def test_second_run_opens_no_file(store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        (root / f"{number}.txt").write_text("x")
    versions = {}
    for listed in store.list("b"):
        content = opened(store.get(ObjectRef("b", listed.key)))
        content.read()
        versions[listed.key] = content.version
        content.close()
    opened_files = []
    real_open = os.open

    def spy(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if not flags & os.O_DIRECTORY:
            opened_files.append(path)
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", spy)
    assert {listed.key: listed.etag for listed in store.list("b")} == {k: v.etag for k, v in versions.items()}
    assert [store.get(ObjectRef("b", key), version) for key, version in versions.items()] == [UNCHANGED] * 10
    assert opened_files == []
    (root / "3.txt").write_text("y")
    opened(store.get(ObjectRef("b", "3.txt"), versions["3.txt"])).close()
    assert opened_files == ["3.txt"]


def test_links_stay_inside_the_root(store: FolderStore, root: Path, tmp_path: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "real.txt").write_text("inside")
    (root / "twin").mkdir()
    (root / "twin" / "twin.txt").write_text("inside")
    (tmp_path / "secret.txt").write_text("outside")
    (tmp_path / "root-twin").mkdir()
    (tmp_path / "root-twin" / "twin.txt").write_text("outside")
    links = {
        "good.txt": root / "d" / "real.txt",
        "relative.txt": Path("d/real.txt"),
        "d/chain.txt": Path("../good.txt"),
        "bad.txt": tmp_path / "secret.txt",
        "climb.txt": Path("../secret.txt"),
        "twin.txt": tmp_path / "root-twin" / "twin.txt",
        "dangling.txt": Path("nowhere"),
        "self.txt": Path("self.txt"),
        "folder-link": root / "d",
        "loop": root,
        "outside-folder": tmp_path,
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert keys(store) == ["d/chain.txt", "d/real.txt", "good.txt", "relative.txt", "twin/twin.txt"]
    for key in ("d/chain.txt", "d/real.txt", "good.txt", "relative.txt"):
        assert read(store, key) == b"inside"
    hidden = [*sorted(links.keys() - set(keys(store))), "folder-link/real.txt", "loop/good.txt", "loop/d/real.txt"]
    hidden += ["outside-folder/secret.txt", "../secret.txt", "d/../good.txt", str(tmp_path / "secret.txt")]
    assert [read(store, key) for key in hidden] == [None] * len(hidden)
    assert keys(store, "loop/") == keys(store, "outside-folder/") == keys(store, "folder-link/re") == []
    for listed in store.list("b"):
        assert store.get(ObjectRef("b", listed.key), ObjectVersion(listed.etag, listed.size_bytes)) is UNCHANGED


def test_a_root_may_be_a_link_that_moves_on(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)
        (tmp_path / name / "link.txt").symlink_to(f"{name}.txt")
    (tmp_path / "current").symlink_to("one")
    store = FolderStore(FolderStore.Options(), {"b": tmp_path / "current"})
    assert keys(store) == ["link.txt", "one.txt"]
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    assert keys(store) == ["link.txt", "two.txt"]
    assert read(store, "link.txt") == b"two"


def test_only_regular_files_are_objects(store: FolderStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "link-to-pipe").symlink_to("pipe")
    (root / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
        assert keys(store) == []
        for key in ("pipe", "link-to-pipe", "socket", "device"):
            assert read(store, key) is None


def test_ignored_names_are_not_there(store: FolderStore, root: Path) -> None:
    ignored = [".DS_Store", ".git/config", "a/.hidden/x.txt", "~$lock.docx", "old.txt~", "x.tmp", "x.pdf.part"]
    ignored += ["x.crdownload", ".x.swp", "x.swp", "Thumbs.db", "lost+found/x.txt"]
    for key in [*ignored, "a/b.txt", "a~b.txt", "tmp", "part/x.txt"]:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_text("x")
    assert keys(store) == ["a/b.txt", "a~b.txt", "part/x.txt", "tmp"]
    assert [read(store, key) for key in ignored] == [None] * len(ignored)
    assert keys(store, ".git/") == []
    everything = FolderStore(FolderStore.Options(ignore=()), {"b": root})
    assert set(ignored) < set(keys(everything))


@pytest.mark.parametrize("key", ["", "/", "//", "a.txt/", "/a.txt", "d//x", "./a.txt", "..", "../root/a.txt", "a\0b"])
def test_keys_that_no_file_has(store: FolderStore, root: Path, key: str) -> None:
    (root / "a.txt").write_text("1")
    (root / "d").mkdir()
    (root / "d" / "x").write_text("1")
    assert store.get(ObjectRef("b", key)) is None
    assert store.get(ObjectRef("b", "\ud800")) is None
    assert store.get(ObjectRef("b", "x" * 5_000)) is None
    assert store.get(ObjectRef("b", "x/" * 5_000 + "x")) is None


def test_a_missing_root_never_looks_empty(store: FolderStore, root: Path) -> None:
    (root / "a.txt").write_text("1")
    version = opened(store.get(ObjectRef("b", "a.txt"))).version
    shutil.rmtree(root)
    for call in (
        lambda: store.get(ObjectRef("b", "a.txt")),
        lambda: store.get(ObjectRef("b", "a.txt"), version),
        lambda: store.get(ObjectRef("b", "..")),
        lambda: keys(store),
        lambda: keys(store, "none/"),
        lambda: store.check("b"),
    ):
        with pytest.raises(Unavailable):
            call()
    root.write_text("a file now")
    with pytest.raises(Unavailable):
        keys(store)


def test_a_root_that_goes_while_it_is_listed_is_an_error(store: FolderStore, root: Path) -> None:
    for name in "abc":
        (root / name).mkdir()
        (root / name / "x.txt").write_text("1")
    listing = store.list("b")
    assert next(listing).key == "a/x.txt"
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(Unavailable):
        list(listing)
    root.with_name("elsewhere").rename(root)
    listing = store.list("b")
    next(listing)
    shutil.rmtree(root)
    root.mkdir()
    with pytest.raises(Unavailable):
        list(listing)
    assert keys(store) == []


def test_a_mount_point_without_its_disk_never_looks_empty(tmp_path: Path) -> None:
    disk, mount_point = Path("/dev/shm"), tmp_path / "mount"
    if not disk.is_dir() or disk.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs two file systems")
    mounted = disk / f"s2m-test-{os.getpid()}"
    mounted.mkdir()
    try:
        (mounted / "a.txt").write_text("1")
        mount_point.symlink_to(mounted)
        store = FolderStore(FolderStore.Options(), {"b": mount_point})
        assert keys(store) == ["a.txt"]
        mount_point.unlink()
        mount_point.mkdir()
        with pytest.raises(Unavailable):
            keys(store)
        with pytest.raises(Unavailable):
            read(store, "a.txt")
        (mount_point / "b.txt").write_text("1")
        assert keys(store) == ["b.txt"]
    finally:
        shutil.rmtree(mounted)


AS_NOBODY = """
import os, sys
from pathlib import Path
from s3_to_milvus.adapters.object_stores.folder import FolderStore
from s3_to_milvus.domain.objects import ObjectRef
store = FolderStore(FolderStore.Options(), {"b": Path(sys.argv[1])})
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for call in (lambda: [x.key for x in store.list("b")], lambda: store.get(ObjectRef("b", "secret.txt")),
             lambda: store.get(ObjectRef("b", "closed/x.txt")), lambda: store.check("b")):
    try:
        print(call())
    except Exception as error:
        print(type(error).__name__)
"""


def _without_rights(root: Path) -> list[str]:
    run = subprocess.run([sys.executable, "-c", AS_NOBODY, str(root)], capture_output=True, text=True, check=True)
    return run.stdout.split("\n")


def test_rights_are_errors_never_absence() -> None:
    with tempfile.TemporaryDirectory() as name:  # tmp_path lies below a folder that is closed to others
        Path(name).chmod(0o711)
        root, closed = Path(name, "root"), Path(name, "root", "closed")
        root.mkdir()
        (root / "good.txt").write_text("1")
        (root / "secret.txt").write_text("1")
        (root / "secret.txt").chmod(0)
        assert _without_rights(root)[:2] == ["['good.txt', 'secret.txt']", UnreadableDocument.__name__]
        closed.mkdir()
        (closed / "x.txt").write_text("1")
        closed.chmod(0)
        assert _without_rights(root)[:4] == ["Unauthorized", "UnreadableDocument", "UnreadableDocument", "Unauthorized"]
        closed.chmod(0o700)
        root.chmod(0)
        assert _without_rights(root)[:4] == ["Unauthorized"] * 4
        root.chmod(0o700)


def test_listing_goes_on_when_files_vanish(store: FolderStore, root: Path) -> None:
    for number in range(50):
        (root / f"d{number:02d}").mkdir()
        (root / f"d{number:02d}" / "x.txt").write_text("1")
    listing = store.list("b")
    next(listing)
    shutil.rmtree(root / "d20")
    (root / "d30" / "x.txt").unlink()
    rest = [listed.key for listed in listing]
    assert len(rest) == 47


def test_many_files_list_cheaply_and_as_a_stream(store: FolderStore, root: Path) -> None:
    for folder in range(20):
        (root / f"{folder:02d}").mkdir()
        for number in range(250):
            (root / f"{folder:02d}" / f"문서-{number:05d}.txt").touch()
    started = time.process_time()
    count = sum(1 for _ in store.list("b"))
    spent_s = time.process_time() - started
    assert count == 5_000
    assert spent_s < 3  # far below what a look at all of them for each would take
    first = next(store.list("b"))
    assert first.key == "00/문서-00000.txt"


def test_deep_folders_are_no_problem(store: FolderStore, root: Path) -> None:
    key = "d/" * 300 + "x.txt"
    (root / key).parent.mkdir(parents=True)
    (root / key).write_text("deep")
    assert keys(store) == [key]
    assert read(store, key) == b"deep"
