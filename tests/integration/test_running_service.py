"""The running service over a watched folder: what changes is found within seconds, and it stops when it is told to."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from s3_to_milvus import registry
from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.bootstrap import Application, build, configure_logging
from s3_to_milvus.domain.records import ObjectState, Suspicion
from s3_to_milvus.settings import load
from tests.support.application import until
from tests.support.line import Line
from tests.support.patience import LEASE_S, SOON_S

ROOT = Path(__file__).resolve().parents[2]
STOPPED_S = 30.0
SLOW = "tests.support.slow_parser:SlowParser"


def _build(folder: Path, parsers: Sequence[str] = ("text",)) -> Application:
    docs = folder / "문서"
    docs.mkdir(exist_ok=True)
    values = {"data_dir": folder / "data", "source": (str(docs),), "embedder.kind": "hash", "log.level": "error"}
    settings = load(
        {**values, "parser.kind": tuple(parsers), "engine.recheck_s": 0.1, "engine.lease_s": LEASE_S},
        environ={},
        folder=folder,
    )
    configure_logging(settings.log)
    return build(settings)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    application = _build(tmp_path_factory.mktemp("service"))
    application.start()
    until(lambda: application.service.is_ready)
    yield Line(application)
    application.stop()


@pytest.fixture
def docs(running: Line) -> Path:
    """The watched folder, empty, and nothing indexed."""
    folder = Path(running.source.uri)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    running.mirror.sync(running.source, is_removal_confirmed=True)
    assert running.shown() == {}
    return folder


def _expect(running: Line, wanted: dict[str, list[str]]) -> None:
    """A search shows exactly this within seconds."""
    until(lambda: running.shown() == wanted)


def test_files_come_change_and_go(running: Line, docs: Path) -> None:
    (docs / "one.txt").write_text("느티나무", encoding="utf-8")
    (docs / "인사").mkdir()
    (docs / "인사" / "휴가.md").write_text("참나무", encoding="utf-8")
    _expect(running, {"one.txt": ["느티나무"], "인사/휴가.md": ["참나무"]})
    (docs / "one.txt").write_text("은행나무", encoding="utf-8")
    _expect(running, {"one.txt": ["은행나무"], "인사/휴가.md": ["참나무"]})
    (docs / "one.txt").unlink()
    _expect(running, {"인사/휴가.md": ["참나무"]})
    (docs / "인사" / "휴가.md").rename(docs / "휴가 규정.md")
    _expect(running, {"휴가 규정.md": ["참나무"]})
    assert [hit.key for hit in running.hits("참나무", 1)] == ["휴가 규정.md"]


def test_folders_move_in_change_their_name_and_go(running: Line, docs: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for number in range(4):
        path = outside / f"깊이 {number % 2}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"나무 {number}", encoding="utf-8")
    shutil.copytree(outside, tmp_path / "copy")
    (tmp_path / "copy").rename(docs / "들어온 폴더")
    wanted = {f"들어온 폴더/깊이 {number % 2}/{number}.txt": [f"나무 {number}"] for number in range(4)}
    _expect(running, wanted)
    (docs / "들어온 폴더").rename(docs / "새 이름")
    _expect(running, {key.replace("들어온 폴더", "새 이름"): texts for key, texts in wanted.items()})
    assert {hit.collection for hit in running.hits("나무", 4)} == {"새 이름"}
    shutil.rmtree(docs / "새 이름" / "깊이 0")
    _expect(running, {f"새 이름/깊이 1/{number}.txt": [f"나무 {number}"] for number in (1, 3)})
    (docs / "새 이름").rename(tmp_path / "away")
    _expect(running, {})
    until(lambda: running.stored() == 0)


def test_a_file_that_is_replaced_all_the_time_is_never_a_mix_and_ends_exact(running: Line, docs: Path) -> None:
    path, side = docs / "busy.txt", docs.parent / "side"
    done, looks = threading.Event(), list[str]()

    def text_of(turn: int) -> str:
        return "\n\n".join(f"turn {turn} part {part} {'단어 ' * 150}" for part in range(3 + turn % 3))

    def replace() -> None:
        turn = 0
        until_s = time.monotonic() + 2.5
        while time.monotonic() < until_s or not looks:
            turn += 1
            if turn % 2:
                path.write_text(text_of(turn), encoding="utf-8")
            else:
                side.write_text(text_of(turn), encoding="utf-8")
                side.rename(path)
            time.sleep(0.004 * (turn % 5))
        path.write_text(text_of(1_000), encoding="utf-8")
        done.set()

    path.write_text(text_of(0), encoding="utf-8")
    until(lambda: "busy.txt" in running.shown())
    writer = threading.Thread(target=replace)
    writer.start()
    while not done.is_set():
        # Nothing is right, too, while the writer stands between truncating the file and writing it.
        for texts in running.shown().values():
            assert len({text.split()[1] for text in texts}) == 1, "parts of two versions"
            looks += texts
    writer.join()
    until(lambda: all(text.startswith("turn 1000 ") for text in running.shown().get("busy.txt", [""])))
    assert looks
    until(lambda: running.mirror.parts.ledger.next_due() is None)
    running.expect_equal()
    assert running.stored() == len(running.shown()["busy.txt"])


def test_check_never_accuses_what_is_only_in_work(running: Line, docs: Path) -> None:
    done = threading.Event()

    def work() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            for number in range(5):
                (docs / f"{number}.txt").write_text(f"turn {turn}", encoding="utf-8")
            (docs / f"{turn % 5}.txt").unlink()
            time.sleep(0.02)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        until_s = time.monotonic() + 2.0
        while time.monotonic() < until_s:
            report = running.mirror.check(running.application.sources)
            assert not report.missing or all(each.reason == "not indexed" for each in report.missing), report
            assert report.orphaned == []
    finally:
        done.set()
        worker.join()


def test_it_stops_within_seconds_while_a_parser_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._BUILT_IN["parser"], "slow", SLOW)
    application = _build(tmp_path, ("text", "slow"))
    application.start()
    docs = tmp_path / "문서"
    (docs / "hang.html").write_text("<html>600 words", encoding="utf-8")
    (docs / "good.txt").write_text("느티나무", encoding="utf-8")
    line = Line(application)
    until(lambda: line.shown() == {"good.txt": ["느티나무"]})
    until(lambda: line.mirror.status().counts.running == 1)
    until(lambda: bool(_parsing_children()))
    children = _parsing_children()
    started = time.monotonic()
    application.stop()
    assert time.monotonic() - started < STOPPED_S
    _, alive = psutil.wait_procs(children, timeout=SOON_S)
    assert alive == [], "a parsing child outlived the service"

    again = _build(tmp_path, ("text", "slow"))
    (status,) = again.mirror.find("hang.html")
    assert (status.state, status.attempts) == (ObjectState.WAITING, 0)
    (docs / "hang.html").write_text("<html>0 참나무", encoding="utf-8")
    again.start()
    until(lambda: Line(again).shown() == {"good.txt": ["느티나무"], "hang.html": ["참나무"]})
    again.stop()


def _parsing_children() -> list[psutil.Process]:
    """Processes below this one that belong to no fork server's own housekeeping: grandchildren."""
    own = psutil.Process()
    direct = {child.pid for child in own.children()}
    return [child for child in own.children(recursive=True) if child.pid not in direct]


class Served:
    """`s3-to-milvus serve` as a process of its own, with the slow parser as a plug-in."""

    def __init__(self, folder: Path) -> None:
        self.docs = folder / "문서"
        self.docs.mkdir()
        self.data = folder / "data"
        plugin = folder / "plugin" / "slow-1.dist-info"
        plugin.mkdir(parents=True)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1\n")
        (plugin / "entry_points.txt").write_text(f"[s3_to_milvus.parser]\nslow = {SLOW}\n")
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(plugin.parent))),
            "S2M_DATA_DIR": str(self.data),
            "S2M_SOURCE": str(self.docs),
            "S2M_EMBEDDER__KIND": "hash",
            "S2M_PARSER__KIND": "text,slow",
            "S2M_ENGINE__CLAIM_BATCH": "8",
            "S2M_ENGINE__LEASE_S": str(LEASE_S),
        }

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "s3_to_milvus.cli.main", "serve", "--port", "0"]
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.docs.parent,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ledger(self) -> SqliteLedger:
        return SqliteLedger(SqliteLedger.Options(), self.data / "ledger.db")

    def counts(self) -> tuple[int, int, int]:
        """Objects that are indexed, wait, run; read beside the service."""
        if not (self.data / "ledger.db").exists():
            return 0, 0, 0
        ledger = self.ledger()
        try:
            found = ledger.counts()
        finally:
            ledger.close()
        return found.indexed, found.waiting, found.running


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def test_sigterm_in_the_middle_of_work_leaves_nothing_in_doubt(served: Served) -> None:
    paragraph = "단어 " * 3_000
    for number in range(200):  # the pages take so long that it is not through before it is stopped
        (served.docs / f"{number:03}.txt").write_text(f"{number} {paragraph}", encoding="utf-8")
        (served.docs / f"{number:03}.html").write_text(f"<html>0.2 {number}", encoding="utf-8")
    process = served.start()
    until(lambda: served.counts()[0] > 20)

    second = served.start()
    said = second.communicate(timeout=SOON_S)[1]
    assert second.returncode == 2
    assert f"process {process.pid}" in said
    assert "Traceback" not in said

    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    said = process.communicate(timeout=SOON_S)[1]
    assert time.monotonic() - started < STOPPED_S
    assert "Traceback" not in said
    indexed, waiting, in_work = served.counts()
    assert (indexed + waiting, in_work) == (400, 0)
    assert waiting, "it was through before it was stopped: nothing was proved"
    ledger = served.ledger()
    runs = ledger.runs(limit=1_000)
    claims = ledger.claim("next", 1_000, time.time() + 1, 60)
    ledger.close()
    assert [run for run in runs if run.finished_at is None] == []
    assert len(claims) == waiting
    assert {claim.suspicion for claim in claims} == {Suspicion.NONE}
    assert {claim.attempts for claim in claims} == {1}


def test_sigterm_while_a_parser_hangs(served: Served) -> None:
    (served.docs / "hang.html").write_text("<html>600 words", encoding="utf-8")
    process = served.start()
    until(lambda: served.counts()[2] == 1)
    service = psutil.Process(process.pid)
    until(lambda: len(service.children(recursive=True)) > len(service.children()))
    children = service.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    said = process.communicate(timeout=SOON_S)[1]
    assert time.monotonic() - started < STOPPED_S
    assert "Traceback" not in said
    assert psutil.wait_procs(children, timeout=SOON_S)[1] == []
    assert served.counts() == (0, 1, 0)
