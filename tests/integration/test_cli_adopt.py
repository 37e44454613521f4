"""`adopt` in this process over fakes: what people read, and the exit codes."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from s3_to_milvus.bootstrap.datalock import DataLock
from s3_to_milvus.cli import direct
from s3_to_milvus.cli.main import main
from s3_to_milvus.domain.adopting import OriginalRow
from s3_to_milvus.testing.fakes.embedder import FakeEmbedder
from s3_to_milvus.testing.fakes.parser import FAIL_PERMANENT
from tests.support.application import BUCKET, FakeApplication

SOURCE = f"s3://{BUCKET}/"
LATE, EARLY = "2030-01-01T00:00:00Z", "1969-01-01T00:00:00Z"
Adopt = Callable[..., Result]


class World:
    """What outlasts a command."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.first = FakeApplication(data_dir)
        self.ids = 0

    def build(self, *_: object) -> FakeApplication:
        lock = DataLock(self.data_dir)
        made = replace(self.first)
        made.on_stop = lock.release
        return made

    def keep(self, key: str, data: bytes = b"read anew") -> None:
        self.first.store.put(BUCKET, key, data)

    def fill(self, file_name: str, date: str, *texts: str) -> None:
        for text in texts:
            self.ids += 1
            vector = FakeEmbedder().embed_query(text)
            self.first.vectors.originals.fill("HR", [(OriginalRow(self.ids, file_name, date, text), vector)])


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.keep("HR/휴가.txt")
    world.keep("HR/규정.txt")
    world.keep("HR/new.txt")
    world.fill("휴가.txt", LATE, "one", "two", "one", "two")
    world.fill("규정.txt", EARLY, "old")
    world.fill("gone\u202e.txt", LATE, "orphan")
    return world


@pytest.fixture
def adopt(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adopt]:
    logging, handler = structlog.get_config(), signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(world.data_dir)
    monkeypatch.setenv("S2M_DATA_DIR", str(world.data_dir))
    monkeypatch.setattr(direct, "build", world.build)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["adopt", SOURCE, "--collection", "HR", *arguments])

    yield run
    structlog.configure(**logging)
    signal.signal(signal.SIGTERM, handler)


def test_a_dry_run_says_what_would_be_done(adopt: Adopt, world: World) -> None:
    done = adopt()
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "HR: 1 object (2 rows) as they are, without embedding; vectors compared: cosine 1.0000"
    assert "  not copied of them: 2 rows that stand twice, or of older versions" in lines
    assert "  to be read and embedded anew: 2 objects" in lines
    assert "  left behind, written before the object was (stale): rows of 1 file name" in lines
    assert "    규정.txt (1 row)" in lines
    assert "    gone\\u202e.txt (1 row)" in lines
    assert lines[-1] == "Nothing was written; --apply does it, and keeps the original as HR_original."
    assert world.first.vectors.originals.aliases == {}
    assert world.first.ledger.collections() == []


def test_applied_it_says_what_was_done(adopt: Adopt, world: World) -> None:
    done = adopt("--apply")
    assert done.exit_code == 0, done.output
    assert "done: 1 copied, 2 read anew, 2 chunks embedded" in done.output
    assert "HR is now HR_s2m; the original is kept as HR_original" in done.output
    assert world.first.vectors.originals.aliases == {"HR": "HR_s2m"}
    again = adopt("--apply")
    assert (again.exit_code, again.output) == (0, "HR: is ours already; nothing to take over.\n")
    dropped = adopt("--drop-original")
    assert (dropped.exit_code, dropped.output) == (0, "Dropped HR_original.\n")


def test_what_cannot_be_read_is_named_and_the_name_stays(adopt: Adopt, world: World) -> None:
    world.keep("HR/규정.txt", FAIL_PERMANENT)
    done = adopt("--apply")
    assert done.exit_code == 6
    assert "! HR/규정.txt:" in done.output
    assert "HR is still the original" in done.output
    assert "--accept-failures" in done.output
    accepted = adopt("--apply", "--accept-failures")
    assert accepted.exit_code == 0, accepted.output
    assert world.first.vectors.originals.aliases == {"HR": "HR_s2m"}


@pytest.mark.parametrize("zone", ["Seoul", "../etc/passwd", ""])
def test_a_zone_that_there_is_not_is_told(adopt: Adopt, zone: str) -> None:
    done = adopt("--timezone", zone)
    assert done.exit_code == 2
    assert "Asia/Seoul" in done.output


def test_dates_may_be_left_out_of_account(adopt: Adopt) -> None:
    done = adopt("--dates", "ignored")
    assert "HR: 2 objects (3 rows) as they are" in done.output
    assert "  dates were taken for nothing (ignored)" in done.output.splitlines()


@pytest.mark.parametrize(
    ("dates", "said"),
    [(None, "the times of indexing (indexed)"), ("modified", "those of the objects (modified)")],
)
def test_what_dates_are_is_said(adopt: Adopt, dates: str | None, said: str) -> None:
    done = adopt("--dates", dates) if dates else adopt()
    assert f"  dates were taken for {said}" in done.output.splitlines()


def test_dropping_what_is_left_needs_no_source(adopt: Adopt, world: World) -> None:
    assert adopt("--apply").exit_code == 0
    done = CliRunner().invoke(main, ["adopt", "--collection", "HR", "--drop-original"])
    assert (done.exit_code, done.output) == (0, "Dropped HR_original.\n")


def test_it_does_not_work_beside_the_service(adopt: Adopt, world: World) -> None:
    lock = DataLock(world.data_dir)
    try:
        done = adopt()
    finally:
        lock.release()
    assert done.exit_code == 2
    assert "stop it" in done.output


def test_a_source_is_needed(adopt: Adopt) -> None:
    done = CliRunner().invoke(main, ["adopt", "--collection", "HR"])
    assert done.exit_code == 2
    assert "Name a SOURCE" in done.output
