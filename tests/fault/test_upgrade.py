"""A data folder of an older version is opened, migrated and kept; one of a newer version is refused and left alone."""

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from s3_to_milvus.adapters.ledger.sqlite import SqliteLedger
from s3_to_milvus.adapters.ledger.sqlite.migrate import migrations
from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.access import Role, digest_of
from s3_to_milvus.domain.objects import ObjectRef
from s3_to_milvus.domain.records import ObjectState
from s3_to_milvus.domain.rows import CollectionSpec, Row
from s3_to_milvus.errors import ConfigError
from s3_to_milvus.testing.hash_embedder import HashEmbedder
from tests.support.line import line_over

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / "tests" / "support" / "ledger_0_1_0.sql"
BUCKET = "documents"
# Key, text, collection and run of the rows that 0.1.0 made.
ROWS = (
    ("team/plan.txt", "The plan of the team for the next year.", "team", 1796100335175014),
    ("휴가.txt", "연차휴가는 15일이다.", "documents", 1796100335175013),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / BUCKET
    (docs / "team").mkdir(parents=True)
    for key, text, *_ in ROWS:
        (docs / key).write_text(f"{text}\n", encoding="utf-8")
    (docs / "empty.txt").write_text("   \n")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    return docs


@pytest.fixture
def data(tmp_path: Path, docs: Path) -> Path:
    """The folder as 0.1.0 left it; Milvus Lite's part is made by the library that is installed."""
    data = tmp_path / "data"
    data.mkdir()
    ids = _fill(data / "milvus.db")
    script = OLD.read_text(encoding="utf-8").replace(":SOURCE:", str(docs).encode().hex())
    for collection, (row_id,) in ids.items():
        script = script.replace(f":{collection.upper()}:", f"[[{row_id},{row_id}]]")
    with closing(sqlite3.connect(data / "ledger.db")) as plain:
        plain.executescript(script)
        plain.execute("PRAGMA journal_mode = WAL")
    return data


def _fill(path: Path) -> dict[str, list[int]]:
    embedder, store = HashEmbedder(), MilvusVectorStore(MilvusVectorStore.Options(), path)
    ids = {}
    with closing(store):
        for key, text, collection, run in ROWS:
            store.ensure(CollectionSpec(collection, collection, 384, "b5b96fbee55ec719"))
            ref = ObjectRef(BUCKET, key)
            name = key.rpartition("/")[2]
            (vector,) = embedder.embed_documents([text])
            row = Row(vector, text, name, "2026-12-01", ref.object_id, run, 0, BUCKET, key, 0, {})
            ids[collection] = store.insert(collection, [row])
    return ids


def test_a_data_folder_of_0_1_0_keeps_everything(data: Path, docs: Path) -> None:
    with closing(SqliteLedger(SqliteLedger.Options(), data / "ledger.db")) as ledger:
        states = {each.ref.key: each.state for each in ledger.objects()}
        assert states == {
            "broken.pdf": ObjectState.FAILED,
            "empty.txt": ObjectState.EMPTY,
            "team/plan.txt": ObjectState.INDEXED,
            "휴가.txt": ObjectState.INDEXED,
        }
        records = {record.ref.key: record for record in ledger.records() if record.ids}
        assert {key: (record.collection, record.run) for key, record in records.items()} == {
            key: (collection, run) for key, _, collection, run in ROWS
        }
        assert [(key.name, key.role, key.digest) for key in ledger.access_keys()] == [
            ("reader", Role.VIEWER, digest_of("a key of 0.1.0"))
        ]
        assert [each.body for each in ledger.quarantined()] == ['{"what": "이것"}']
        assert ledger.ticket("0" * 64) == "job-1"
        assert [entry.uri for entry in ledger.sources()] == [str(docs)]
        assert len(ledger.outbox(1e12, 100)) == 7
        assert len(ledger.runs(limit=100)) == 7


def test_a_data_folder_of_0_1_0_is_searched_and_goes_on(data: Path, docs: Path) -> None:
    with line_over(data, [docs]) as line:
        assert line.shown() == {key: [text] for key, text, *_ in ROWS}
        line.sync()
        line.expect_equal()
        assert line.shown() == {key: [text] for key, text, *_ in ROWS}
        (docs / "team" / "plan.txt").write_text("Another plan.\n")
        (docs / "휴가.txt").unlink()
        line.sync(is_removal_confirmed=True)
        line.expect_equal()
        assert line.shown() == {"team/plan.txt": ["Another plan."]}


@pytest.mark.parametrize("number", range(1, len(migrations()) + 1))
def test_every_schema_that_there_ever_was_is_migrated(tmp_path: Path, number: int) -> None:
    path = tmp_path / "ledger.db"
    _old_ledger(path, number)
    with closing(SqliteLedger(SqliteLedger.Options(), path)) as ledger:
        assert [ref.key for ref in (each.ref for each in ledger.objects())] == ["a.txt"]
    assert _version(path) == len(migrations())


def test_a_newer_ledger_is_refused_and_left_as_it_is(data: Path, docs: Path) -> None:
    with closing(sqlite3.connect(data / "ledger.db")) as plain, plain:
        plain.execute("INSERT INTO migrations VALUES (9999, 'from_the_future')")
    before = _digests(data)
    with pytest.raises(ConfigError, match="newer s3-to-milvus") as caught, line_over(data, [docs]):
        pass
    assert "newer version" in caught.value.hint
    assert _digests(data) == before


_CHILD = """
import os, signal, sqlite3, sys
from s3_to_milvus.adapters.ledger.sqlite.migrate import migrate
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
left = int(sys.argv[2])
def count(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
connection.set_trace_callback(count)
migrate(connection)
"""


def test_a_migration_that_is_killed_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    _old_ledger(path, 1)
    kills = 0
    for statements in range(0, 200, 5):
        child = subprocess.run([sys.executable, "-c", _CHILD, str(path), str(statements)], cwd=ROOT, check=False)
        if child.returncode == 0:
            break
        kills += 1
        assert _version(path) == 1, "all of it or nothing"
    assert kills >= 2
    assert _version(path) == len(migrations())
    with closing(SqliteLedger(SqliteLedger.Options(), path)) as ledger:
        assert [each.ref.key for each in ledger.objects()] == ["a.txt"]


def _old_ledger(path: Path, number: int) -> None:
    """A ledger with the first migrations only, that knows one object."""
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT")
        for each, name, script in migrations()[:number]:
            plain.executescript(script)
            plain.execute("INSERT INTO migrations VALUES (?, ?)", (each, name))
        ref = ObjectRef("docs", "a.txt")
        values = (ref.bucket, ref.key.encode(), bytes.fromhex(ref.object_id))
        plain.execute(
            "INSERT INTO objects (bucket, key, object_id, outcome, etag) VALUES (?, ?, ?, 'empty', 'e')", values
        )


def _version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as plain:
        found: int = plain.execute("SELECT max(number) FROM migrations").fetchone()[0]
        return found


def _digests(data: Path) -> dict[str, str]:
    names = (path for path in data.rglob("*") if path.is_file() and path.name not in ("owner.lock", "ledger.db-shm"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}
