"""What a folder can do to its watch: folders that move, roots that go, names that are no text."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3_to_milvus.adapters.events.watch import FolderWatch
from s3_to_milvus.domain.objects import EventType, ObjectEvent, ObjectRef
from s3_to_milvus.errors import Unavailable
from s3_to_milvus.testing.contracts.event_source import Collector, running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def seen(root: Path) -> Iterator[Collector]:
    """What a running watch emits after it said that it is there."""
    (root / "old" / "deep").mkdir(parents=True)
    (root / "old" / "deep" / "a.txt").write_text("1")
    collector = Collector()
    with running(FolderWatch(FolderWatch.Options(), {"b": root}), collector):
        assert collector.wait(told("")), "a whole bucket is to be looked at when its watch begins"
        collector.events.clear()
        yield collector


def told(*keys: str) -> Callable[[Collector], bool]:
    return lambda seen: {event.ref.key for event in seen.events} >= set(keys)


def test_events_come_fast_and_say_what_happened(seen: Collector, root: Path) -> None:
    delays: list[float] = []
    for number in range(50):
        key = f"문서 {number}.txt"
        started = time.monotonic()
        (root / key).write_text("1")
        assert seen.wait(told(key))
        delays.append(time.monotonic() - started)
        if number > 3 and min(delays) < 0.06:
            break
    assert min(delays) < 0.2  # far below any polling; the quickest counts, since a machine may be busy
    assert ObjectEvent(ObjectRef("b", "문서 0.txt"), EventType.UPLOAD) in seen.events
    (root / "문서 0.txt").unlink()
    assert seen.wait(lambda seen: ObjectEvent(ObjectRef("b", "문서 0.txt"), EventType.DELETE) in seen.events)


def test_a_folder_that_is_moved_marks_what_is_below_it(seen: Collector, root: Path, tmp_path: Path) -> None:
    (root / "old").rename(root / "new")
    assert seen.wait(told("old/", "new/"))
    (root / "new").rename(tmp_path / "out")
    assert seen.wait(lambda seen: [event.ref.key for event in seen.events].count("new/") == 2)
    (tmp_path / "out").rename(root / "back")
    assert seen.wait(told("back/"))
    (root / "back" / "deep" / "a.txt").write_text("22")
    assert seen.wait(told("back/deep/a.txt"))


def test_a_removed_folder_marks_what_was_below_it(seen: Collector, root: Path) -> None:
    shutil.rmtree(root / "old")
    assert seen.wait(told("old/"))


def test_files_in_new_folders_are_not_lost(seen: Collector, root: Path) -> None:
    for number in range(20):
        (root / f"n{number}" / "x").mkdir(parents=True)
        (root / f"n{number}" / "x" / "f.txt").write_text("1")
    refs = [ObjectRef("b", f"n{number}/x/f.txt") for number in range(20)]
    assert seen.wait(lambda seen: all(map(seen.has, refs)))


def test_ignored_names_are_silent(seen: Collector, root: Path) -> None:
    (root / ".git").mkdir()
    for key in (".git/index", ".hidden", "x.part", "~$x.docx"):
        (root / key).write_text("1")
    (root / "x.part").rename(root / "x.pdf")
    assert seen.wait(told("x.pdf"))
    assert {event.ref.key for event in seen.events} <= {"x.pdf"}


def test_many_vanished_names_become_one_prefix(seen: Collector, root: Path) -> None:
    for number in range(300):
        (root / "old" / f"{number}.txt").write_text("1")
    assert seen.wait(told("old/299.txt"))
    seen.events.clear()
    for number in range(300):
        (root / "old" / f"{number}.txt").unlink()
    refs = [ObjectRef("b", f"old/{number}.txt") for number in range(300)]
    assert seen.wait(lambda seen: all(map(seen.names, refs)))
    assert sum(event.ref.key.endswith("/") for event in seen.events) < 300


def test_a_name_that_is_no_text_does_not_end_the_watch(seen: Collector, root: Path) -> None:
    with open(os.fsencode(root) + b"/\xff.txt", "wb"):  # noqa: PTH123 - pathlib has no bytes
        pass
    assert seen.wait(told(""))
    (root / "after.txt").write_text("1")
    assert seen.wait(told("after.txt"))


@pytest.mark.parametrize("how", ["removed", "removed at once", "moved"])
def test_a_root_that_goes_and_comes_back(seen: Collector, root: Path, tmp_path: Path, how: str) -> None:
    if how == "moved":
        root.rename(tmp_path / "away")
    else:
        shutil.rmtree(root)
    time.sleep(0 if how == "removed at once" else 0.1)
    if how != "moved":
        root.mkdir()
    else:
        (tmp_path / "away").rename(root)
    (root / "between.txt").write_text("1")
    assert seen.wait(lambda seen: seen.has(ObjectRef("b", "between.txt")))
    for number in range(100):
        (root / "after.txt").write_text("x" * number)
        if seen.wait(told("after.txt"), 0.1):
            return
    pytest.fail("the watch did not come back")


def test_several_roots_and_one_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    roots = {"one": tmp_path / "one", "two": tmp_path / "two"}
    watch = FolderWatch(FolderWatch.Options(), roots)
    with pytest.raises(Unavailable, match="two"):
        watch.check()
    collector = Collector()
    with running(watch, collector):
        assert collector.wait(lambda seen: seen.names(ObjectRef("one", "")))
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "a.txt").write_text("1")
        assert collector.wait(lambda seen: seen.has(ObjectRef("two", "a.txt")))
        (tmp_path / "one" / "b.txt").write_text("1")
        assert collector.wait(lambda seen: seen.has(ObjectRef("one", "b.txt")))
    assert watch.check()


def test_a_missing_root_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with running(FolderWatch(FolderWatch.Options(), {"b": tmp_path / "none"}), Collector()):
        time.sleep(0.05)


def test_an_idle_watch_costs_next_to_nothing(root: Path) -> None:
    collector = Collector()
    with running(FolderWatch(FolderWatch.Options(), {"b": root}), collector):
        assert collector.wait(told(""))
        started = time.process_time()
        time.sleep(1.0)
        assert time.process_time() - started < 0.3
