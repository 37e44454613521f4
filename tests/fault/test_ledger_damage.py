"""The ledger's file is flipped, zeroed, cut, deleted or replaced, at rest and below a running service: it is said."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.adapters.ledger.sqlite import ledger as opening
from s3_to_milvus.bootstrap import build
from s3_to_milvus.domain.objects import Lane, ObjectRef
from s3_to_milvus.errors import FatalError, LedgerDamaged, LedgerLost
from s3_to_milvus.settings import load
from s3_to_milvus.testing.contracts.ledger_tools import Desk, T
from s3_to_milvus.web.app import create_app
from tests.support.application import until
from tests.support.web import LOOPBACK

REFS = [ObjectRef("docs", f"team/문서 {number}.txt") for number in range(300)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ledger that knows some hundred objects, closed."""
    path = tmp_path_factory.mktemp("whole") / "ledger.db"
    with closing(_open(path)) as ledger:
        desk = Desk(ledger)
        for ref in REFS:
            desk.index(ref)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, whole: bytes) -> Path:
    path = tmp_path / "ledger.db"
    path.write_bytes(whole)
    return path


def _open(path: Path) -> SqliteLedger:
    return SqliteLedger(SqliteLedger.Options(), path)


def _met(path: Path) -> FatalError | None:
    """What a service meets with this file."""
    try:
        with closing(_open(path)) as ledger:
            _use(ledger)
    except FatalError as error:
        return error
    return None


def _use(ledger: SqliteLedger) -> None:
    """Everything that a service does with a ledger; it may meet damage anywhere."""
    ledger.check()
    list(ledger.lines("docs"))
    list(ledger.records())
    ledger.objects(limit=1_000)
    ledger.runs(limit=1_000)
    ledger.standing({ref.object_id for ref in REFS})
    ledger.sources(), ledger.collections(), ledger.access_keys(), ledger.outbox(T, 100), ledger.next_due()
    ledger.observe(REFS, Lane.LIVE, T)
    ledger.claim("me", 100, T, 60)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_are_damage_or_nothing_and_never_a_traceback(path: Path, seed: int) -> None:
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(30):
        data[chance.randrange(len(data))] ^= 0xFF
    path.write_bytes(data)
    error = _met(path)
    if error is not None:
        assert isinstance(error, LedgerDamaged)
        assert "locked" not in error.told
        assert error.hint


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: bytes(4096) + data[4096:],
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: data[:4096] + b"\xa5" * (len(data) - 4096),
        lambda data: b"%PDF-1.7 no ledger" * 1000,
    ],
    ids=["zeroed header", "half", "a header alone", "overwritten", "another file"],
)
def test_a_damaged_file_is_refused_at_the_start_by_name_and_left_as_it_is(
    path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(LedgerDamaged) as caught, closing(_open(path)) as ledger:
        _use(ledger)
    assert str(path) in caught.value.message
    assert "restore FOLDER" in caught.value.hint
    assert "indexed anew" in caught.value.hint
    assert path.read_bytes() == before


def test_a_large_file_is_examined_while_the_ledger_works(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_EXAMINED_AT_ONCE", 0)
    with closing(_open(path)) as ledger:
        ledger._health._thread.join(30)  # type: ignore[union-attr]
        ledger.check()
    _break_a_page_of_runs(path)
    with closing(_open(path)) as ledger:
        ledger._health._thread.join(30)  # type: ignore[union-attr]
        with pytest.raises(LedgerDamaged, match="damaged"):
            ledger.check()
        with pytest.raises(LedgerDamaged):
            ledger.observe(REFS, Lane.LIVE, T)
        assert ledger.counts().indexed == len(REFS), "what can be read is still read"


def test_closing_does_not_wait_for_the_examination(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_EXAMINED_AT_ONCE", 0)
    for _ in range(20):
        _open(path).close()
    with closing(_open(path)) as ledger:
        _use(ledger)


def test_damage_that_is_met_while_it_is_open_stays(path: Path) -> None:
    with closing(_open(path)) as ledger:
        _break_a_page_of_runs(path)
        with pytest.raises(LedgerDamaged):
            ledger.runs(limit=1_000)
        for _ in range(2):
            with pytest.raises(LedgerDamaged):
                ledger.check()
        with pytest.raises(LedgerDamaged):
            ledger.observe(REFS, Lane.LIVE, T)


def test_a_text_that_is_no_text_any_more_is_damage(path: Path) -> None:
    _write(path, "UPDATE objects SET content_hash = CAST(x'61ff62' AS TEXT)")
    with closing(_open(path)) as ledger:
        with pytest.raises(LedgerDamaged):
            list(ledger.records())
        with pytest.raises(LedgerDamaged):
            ledger.check()


@pytest.mark.parametrize("change", ["ids = '[[1,'", "outcome = 'indexes'", "ids = '[[1]]'"])
def test_a_value_that_means_nothing_is_damage(path: Path, change: str) -> None:
    _write(path, f"UPDATE objects SET {change}")
    with closing(_open(path)) as ledger:
        with pytest.raises(LedgerDamaged):
            list(ledger.records())
        with pytest.raises(LedgerDamaged):
            ledger.check()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_goes_while_it_is_open_is_noticed(path: Path, suffix: str, is_replaced: bool) -> None:
    with closing(_open(path)) as ledger:
        ledger.observe(REFS[:1], Lane.LIVE, T)
        gone = Path(f"{path}{suffix}")
        if is_replaced:
            other = path.with_name("other")
            other.write_bytes(gone.read_bytes())
            other.rename(gone)
        else:
            gone.unlink()
        for act in (ledger.check, lambda: ledger.observe(REFS, Lane.LIVE, T)):
            with pytest.raises(LedgerLost, match="replaced" if is_replaced else "is gone") as caught:
                act()
            assert str(gone) in caught.value.message
            assert "restart" in caught.value.hint
        with ThreadPoolExecutor(8) as readers:
            known = list(readers.map(lambda _: len(list(ledger.lines("docs"))), range(16)))
        assert known == [len(REFS)] * 16, "what it knew last is still read, never another file"


def test_a_folder_that_is_moved_away_is_noticed(path: Path) -> None:
    with closing(_open(path)) as ledger:
        path.parent.rename(path.parent.with_name("moved"))
        with pytest.raises(LedgerLost):
            ledger.check()


def _service(tmp_path: Path) -> TestClient:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(5):
        (docs / f"{number}.txt").write_text(f"낱말{number} 문서", encoding="utf-8")
    settings = load(
        {"data_dir": tmp_path / "data", "embedder.kind": "hash", "log.level": "error", "source": [str(docs)]},
        environ={},
        folder=tmp_path,
    )
    return TestClient(create_app(lambda: build(settings)), base_url=LOOPBACK)


def test_a_service_below_which_the_ledger_goes_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with _service(tmp_path) as client:
        until(lambda: client.get("/api/v1/status").json()["objects"]["indexed"] == 5)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{tmp_path / 'data' / 'ledger.db'}{suffix}").unlink()
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "ledger.db is gone" in ready.text
        answer = client.post(
            "/process_s3_event", json={"event_type": "upload", "bucket_name": "docs", "file_key": "0.txt"}
        )
        assert answer.status_code == 503, "nothing is acknowledged that nobody would keep"
        until(lambda: client.get("/api/v1/status").json()["held"] is not None, 30)
        status = client.get("/api/v1/status").json()
        assert status["objects"]["indexed"] == 5
        assert status["held"]["code"] == "ledger_lost"
        assert "restart" in status["held"]["hint"]
        assert len(client.post("/api/v1/search", json={"query": "낱말1 문서"}).json()["hits"]) == 5


def test_a_service_that_meets_damage_holds_its_queue_and_is_not_ready(tmp_path: Path) -> None:
    with _service(tmp_path) as client:
        until(lambda: client.get("/api/v1/status").json()["objects"]["indexed"] == 5)
        _write(tmp_path / "data" / "ledger.db", "UPDATE objects SET ids = '[[1,'")
        job = client.post("/api/v1/check", json={}).json()
        until(lambda: client.get(f"/api/v1/check/{job['job']}").json()["state"] == "failed")
        assert client.get(f"/api/v1/check/{job['job']}").json()["problem"]["code"] == "ledger_damaged"
        assert client.get("/readyz").status_code == 503
        until(lambda: client.get("/api/v1/status").json()["held"] is not None, 30)
        held = client.get("/api/v1/status").json()["held"]
        assert held["code"] == "ledger_damaged"
        assert "restore FOLDER" in held["hint"]


def _write(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute(statement)


def _break_a_page_of_runs(path: Path) -> None:
    """Overwrite the last page of the file that is in use by the table of runs."""
    with closing(sqlite3.connect(path)) as plain:
        page = plain.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'runs'").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
