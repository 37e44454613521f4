"""Commands in this process, over an application of fakes that outlasts each of them."""

import json
import re
import signal
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from s3_to_milvus.bootstrap.datalock import DataLock
from s3_to_milvus.cli import direct
from s3_to_milvus.cli.main import main
from s3_to_milvus.domain.retrying import RetryPolicy
from s3_to_milvus.domain.usage import Usage
from s3_to_milvus.engine.parts import EngineConfig
from s3_to_milvus.errors import Unauthorized
from s3_to_milvus.settings import Settings
from tests.support.application import BUCKET, FakeApplication

SOURCE = "s3://docs/"
SYNC_KEYS = {
    *("source", "added", "changed", "removed", "unchanged", "failed", "empty", "chunks", "embedded", "seconds"),
    *("tokens", "pages", "usd"),
}
HIT_KEYS = {"score", "text", "bucket", "key", "file_name", "collection", "chunk_no", "page", "heading"}
CONFIG = EngineConfig(workers=2, scan_interval_s=3600, retry=RetryPolicy(base_s=0.01, cap_s=0.02))

Run = Callable[..., Result]


class World:
    """What outlasts a command: bucket, ledger, rows. ``build`` stands in for that of the composition root."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.first = FakeApplication(data_dir, config=CONFIG)
        self.store = self.first.store
        self.put = self.first.put
        self.charge = Usage()

    def build(self, settings: Settings, sources: Sequence[str] | None = None) -> FakeApplication:
        lock = DataLock(self.data_dir)
        made = replace(self.first)
        made.mirror.parts.embedder.charge = self.charge  # type: ignore[attr-defined] # it is a fake
        made.on_stop = lock.release
        return made


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Commands configure logging and the polite stop for their process; this process goes on."""
    logging, handler = structlog.get_config(), signal.getsignal(signal.SIGTERM)
    yield
    structlog.configure(**logging)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("S2M_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path)
    monkeypatch.setattr(direct, "build", world.build)
    return world


@pytest.fixture
def run(world: World) -> Run:
    def call(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, arguments, **options)

    return call


def _json(result: Result) -> Any:
    """Stdout holds one line of JSON and nothing else."""
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def test_sync_search_status(world: World, run: Run) -> None:
    world.put("인사/휴가.txt", "연차휴가는 15일이다.")
    world.put("a.md", "hello")
    first = run("sync", SOURCE, "--json")
    assert (first.exit_code, set(_json(first))) == (0, SYNC_KEYS)
    assert (_json(first)["added"], _json(first)["chunks"], _json(first)["embedded"]) == (2, 2, 2)
    again = _json(run("sync", SOURCE, "--json"))
    assert (again["added"], again["unchanged"], again["embedded"]) == (0, 2, 0)
    found = _json(run("search", "연차휴가는 15일이다.", "--top", "1", "--json"))
    assert set(found) == {"query", "hits"}
    assert set(found["hits"][0]) == HIT_KEYS
    assert found["hits"][0]["key"] == "인사/휴가.txt"
    status = _json(run("status", "--json"))
    assert set(status) == {"objects", "collections", "freshness_seconds"}
    assert status["objects"] == {"indexed": 2, "waiting": 0, "running": 0, "failed": 0, "empty": 0}
    assert {each["folder"] for each in status["collections"]} == {"인사", BUCKET}
    assert set(status["collections"][0]) == {"name", "folder", "objects", "entities", "embedder", "dim"}


def test_people_read_plain_lines(world: World, run: Run) -> None:
    world.put("인사/휴가.txt", "연차휴가는 15일이다.")
    synced = run("sync", SOURCE)
    assert synced.stdout.startswith(
        "s3://docs/: 1 added, 0 changed, 0 removed, 0 unchanged, 0 failed, 0 empty; 1 chunks"
    )
    assert "1. docs/인사/휴가.txt" in run("search", "연차").stdout
    assert "인사" in run("status").stdout
    shown = run("show", "인사/휴가.txt").stdout
    assert "state     indexed" in shown
    assert "연차휴가는 15일이다." in shown
    assert run("check").stdout == "in sync\n"


def test_what_services_charged_is_shown_and_nothing_where_they_charged_nothing(world: World, run: Run) -> None:
    world.put("free.md", "hello")
    assert re.search(r"; 1 chunks, 1 embedded; \d+\.\d s\n$", run("sync", SOURCE).stdout)
    world.charge = Usage.of(tokens=1_234, pages=1, usd=0.0123)
    world.put("dear.md", "other")
    assert "; 1 chunks, 1 embedded; 1,234 tokens, 1 page, $0.012; " in run("sync", SOURCE).stdout
    assert "  add indexed (1,234 tokens, 1 page, $0.012)\n" in run("show", "dear.md").stdout
    assert "  add indexed\n" in run("show", "free.md").stdout
    (attempt,) = _json(run("show", "dear.md", "--json"))["timeline"]
    assert (attempt["tokens"], attempt["pages"], attempt["usd"]) == (1_234, 1, 0.0123)
    world.put("dear.md", "again")
    report = _json(run("sync", SOURCE, "--json"))
    assert (report["tokens"], report["pages"], report["usd"]) == (1_234, 1, 0.0123)


def test_a_dry_run_shows_the_difference_and_writes_nothing(world: World, run: Run) -> None:
    world.put("a.md", "hello")
    plan = _json(run("sync", SOURCE, "--dry-run", "--json"))
    assert set(plan) == SYNC_KEYS | {"plan"}
    assert plan["plan"] == [{"bucket": BUCKET, "key": "a.md", "action": "add"}]
    assert _json(run("status", "--json"))["objects"]["indexed"] == 0
    assert run("sync", SOURCE, "--dry-run").stdout.splitlines()[0] == "+ docs/a.md"


def test_several_sources_are_a_list(world: World, run: Run) -> None:
    world.put("a.md", "hello")
    world.store.put("other", "b.md", b"world")
    reports = _json(run("sync", SOURCE, "s3://other/", "--json"))
    assert [(each["source"], each["added"]) for each in reports] == [(SOURCE, 1), ("s3://other/", 1)]


def test_what_was_done_is_told_even_when_the_next_source_fails(world: World, run: Run) -> None:
    world.put("a.md", "hello")
    result = run("sync", SOURCE, "s3://nowhere/", "--json")
    assert result.exit_code == 2
    assert [each["added"] for each in _json(result)] == [1]
    assert "error: There is no bucket nowhere." in result.stderr


def test_permanent_failures_end_in_6_with_the_reason(world: World, run: Run) -> None:
    world.put("broken.md", "%FAIL-PERMANENT")
    world.put("picture.zip", "x")
    result = run("sync", SOURCE, "--json")
    assert (result.exit_code, _json(result)["failed"]) == (6, 2)
    people = run("sync", SOURCE)
    assert people.exit_code == 6
    assert "docs/broken.md: the file says that it is damaged" in people.stderr
    assert "[unsupported_format]" in people.stderr


def test_retryable_failures_end_in_5(world: World, run: Run) -> None:
    world.put("away.md", "%FAIL-TRANSIENT")
    world.put("broken.md", "%FAIL-PERMANENT")
    result = run("sync", SOURCE, "--json")
    assert (result.exit_code, _json(result)["failed"]) == (5, 2)


def test_fatal_failures_end_in_7(world: World, run: Run) -> None:
    world.store.outage = Unauthorized("The key is wrong.", hint="Get another one.")
    result = run("sync", SOURCE, "--json")
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr.splitlines()[-2:] == ["error: The key is wrong.", "hint: Get another one."]


def test_a_defect_is_one_line_unless_asked(world: World, run: Run) -> None:
    world.store.outage = KeyError("oops")
    result = run("sync", SOURCE)
    assert result.exit_code == 7
    assert "error: unexpected KeyError" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in run("--debug", "sync", SOURCE).stderr


def test_the_removal_guard_asks_for_yes(world: World, run: Run) -> None:
    world.put("a.md", "hello")
    run("sync", SOURCE)
    world.store.delete(BUCKET, "a.md")
    refused = run("sync", SOURCE, "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr.splitlines()[-1]
    assert _json(run("status", "--json"))["objects"]["indexed"] == 1
    assert _json(run("sync", SOURCE, "--yes", "--json"))["removed"] == 1


@pytest.mark.parametrize(("said", "code", "left"), [("y\n", 0, 0), ("n\n", 2, 1), ("\n", 2, 1), ("", 2, 1)])
def test_the_removal_guard_asks_a_person(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch, said: str, code: int, left: int
) -> None:
    world.put("a.md", "hello")
    run("sync", SOURCE)
    world.store.delete(BUCKET, "a.md")
    monkeypatch.setattr("s3_to_milvus.cli.syncing.is_asked_at_terminal", lambda: True)
    result = run("sync", SOURCE, input=said)
    assert result.exit_code == code
    assert "- docs/a.md" in result.stderr
    assert _json(run("status", "--json"))["objects"]["indexed"] == left


def test_a_key_is_found_however_it_is_typed(world: World, run: Run) -> None:
    composed = "인사/휴가.txt"
    decomposed = unicodedata.normalize("NFD", "나/규정.txt")
    world.put(composed, "하나")
    world.put(decomposed, "둘")
    run("sync", SOURCE)
    for typed, key in [
        (composed, composed),
        (unicodedata.normalize("NFD", composed), composed),
        ("나/규정.txt", decomposed),
        (f"{BUCKET}/{composed}", composed),
    ]:
        assert _json(run("show", typed, "--json"))["key"] == key
    unknown = run("show", "nothing", "--json")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "error: No object has the key 'nothing'." in unknown.stderr


def test_show_of_a_key_in_two_buckets_is_a_list(world: World, run: Run) -> None:
    world.put("a.md", "one")
    world.store.put("other", "a.md", b"two")
    run("sync", SOURCE, "s3://other/")
    assert [each["bucket"] for each in _json(run("show", "a.md", "--json"))] == [BUCKET, "other"]
    assert _json(run("show", "other/a.md", "--json"))["chunks"][0]["text"] == "two"


def test_retry_waits_and_says_how_it_went(world: World, run: Run) -> None:
    world.put("a.md", "%FAIL-PERMANENT")
    world.put("b.md", "%FAIL-PERMANENT")
    assert run("sync", SOURCE).exit_code == 6
    one = run("retry", "a.md", "--json")
    assert (one.exit_code, _json(one)) == (6, {"retried": 1})
    assert "docs/a.md: failed: the file says that it is damaged" in one.stderr
    world.put("a.md", "well again")
    world.put("b.md", "well again")
    every = run("retry", "--all", "--json")
    assert (every.exit_code, _json(every)) == (0, {"retried": 2})
    assert run("retry").exit_code == 2
    assert run("retry", "--all", "a.md").exit_code == 2
    assert run("retry", "nothing").exit_code == 2


def test_check_and_repair(world: World, run: Run) -> None:
    world.put("a.md", "hello")
    run("sync", SOURCE)
    assert _json(run("check", "--json")) == {"ok": True, "missing": [], "stale": [], "orphaned": []}
    record = world.first.mirror.find("a.md")[0].record
    assert record is not None
    world.first.vectors.delete(record.collection, [record.rows])
    broken = run("check", "--json")
    assert (broken.exit_code, [each["key"] for each in _json(broken)["missing"]]) == (5, ["a.md"])
    mended = run("check", "--repair", "--json")
    assert (mended.exit_code, _json(mended)["ok"]) == (0, True)
    assert "1 differences were repaired." in mended.stderr


def test_another_command_at_work_is_named(world: World, run: Run, tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    try:
        result = run("status")
    finally:
        lock.release()
    assert result.exit_code == 2
    assert "is in use: process" in result.stderr
    assert "hint: " in result.stderr


def test_wrong_settings_are_two_lines_and_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_PORT", "many")
    result = run("status", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "S2M_PORT" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("hint: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sync"],
        ["sync", SOURCE, "--dry-run", "--watch"],
        ["search"],
        ["search", "x", "--top", "0"],
        ["search", "x", "--top", "1001"],
        ["search", "  "],
        ["search", "x", "--collection", "nope"],
        ["nonsense"],
        ["up"],
        ["serve", "--port", "65536"],
    ],
)
def test_wrong_usage_ends_in_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_config_hides_secrets_and_says_where_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2M_VECTOR_STORE__MILVUS__TOKEN", "root:secret")
    lines = {each["name"]: each for each in _json(run("config", "--json"))}
    assert lines["data_dir"]["source"] == "environment S2M_DATA_DIR"
    assert lines["vector_store.milvus.token"]["value"] == "********"
    assert "root:secret" not in run("config").stdout


def test_doctor_looks_at_everything(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("S2M_EMBEDDER__KIND", "hash")
    monkeypatch.setenv("S2M_SOURCE", str(tmp_path / "nowhere"))
    result = run("doctor", "--json")
    found = _json(result)
    assert (result.exit_code, found["ok"]) == (7, False)
    bad = [each for each in found["findings"] if not each["ok"] and not each["optional"]]
    assert [each["name"] for each in bad] == [f"source {tmp_path / 'nowhere'}"]
    assert "BAD source" in run("doctor").stdout


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("s3-to-milvus 0.")
    text = run("--help").stdout
    for name in ("up", "serve", "sync", "search", "status", "show", "retry", "check", "doctor", "config"):
        assert f"\n  {name} " in text
        assert run(name, "--help").exit_code == 0
