"""Words and codes of the command line."""

import io
import json
import sys

import pytest

from s3_to_milvus.cli.codes import code_of, code_of_failures
from s3_to_milvus.cli.desk import Step
from s3_to_milvus.cli.output import costs, print_json, print_table, shown, size_of
from s3_to_milvus.cli.progress import Lines
from s3_to_milvus.cli.remote import error_of
from s3_to_milvus.engine.answers import problem_of
from s3_to_milvus.errors import (
    ConfigError,
    DataInUse,
    RateLimited,
    RemovalGuard,
    S3ToMilvusError,
    SchemaMismatch,
    Unauthorized,
    Unavailable,
    UnsupportedFormat,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (DataInUse("x"), 2),
        (RemovalGuard("x", removals=1, indexed=1), 2),
        (Unavailable("x"), 5),
        (RateLimited("x"), 5),
        (UnsupportedFormat("x"), 6),
        (Unauthorized("x"), 7),
        (SchemaMismatch("x"), 7),
    ],
)
def test_every_family_of_errors_has_its_exit_code(error: S3ToMilvusError, code: int) -> None:
    assert code_of(error) == code
    assert code_of(error_of(problem_of(error))) == code


@pytest.mark.parametrize(("failed", "retrying", "code"), [(0, 0, 0), (2, 0, 6), (2, 2, 5), (2, 1, 5)])
def test_what_can_be_tried_again_comes_before_what_cannot(failed: int, retrying: int, code: int) -> None:
    assert code_of_failures(failed, retrying) == code


def test_an_error_comes_back_from_the_service_as_it_was() -> None:
    guard = error_of(problem_of(RemovalGuard("much", removals=70, indexed=90)))
    assert isinstance(guard, RemovalGuard)
    assert (guard.removals, guard.indexed, guard.message, guard.hint) == (70, 90, "much", RemovalGuard.default_hint)
    assert error_of({"code": "never heard of", "message": "m", "hint": "h"}).message == "m"
    assert code_of(error_of({"code": "defect", "message": "m"})) == 7


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (1_234.5, "$1,234.50"),
        (0.5, "$0.50"),
        (0.1, "$0.10"),
        (0.03, "$0.030"),
        (0.000_13, "$0.00013"),
        (1e-9, "$0.0000000010"),
        (0, ""),
    ],
)
def test_small_sums_are_shown_too(usd: float, text: str) -> None:
    assert costs({"tokens": 0, "pages": 0, "usd": usd}) == text


def test_costs_leave_out_what_is_nothing() -> None:
    assert costs({"tokens": 1, "pages": 2_000, "usd": 0}) == "1 token, 2,000 pages"
    assert costs({}) == ""


def test_a_name_cannot_drive_the_terminal() -> None:
    assert shown("가나\x1b[31m\u202etxt.exe\n") == "가나\\x1b[31m\\u202etxt.exe\\n"
    assert shown("bad\udcff") == "bad\\udcff"


@pytest.mark.parametrize(("encoding", "is_escaped"), [("utf-8", False), ("cp949", False), ("ascii", True)])
def test_json_is_exact_whatever_the_terminal_can_show(
    monkeypatch: pytest.MonkeyPatch, encoding: str, is_escaped: bool
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace"))
    print_json({"key": "휴가"})
    text = raw.getvalue().decode(encoding)
    assert ("\\u" in text) is is_escaped
    assert json.loads(text) == {"key": "휴가"}


def test_json_of_an_undecodable_name_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace"))
    print_json({"key": "caf\udce9 😀"})
    assert json.loads(raw.getvalue()) == {"key": "caf\udce9 😀"}


def test_a_table_loses_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "count"), [("인사규정" * 60, 1_234_567), ("[bold]b[/bold] :smile:", 2)], numbers=(1,))
    text = capsys.readouterr().out
    assert "인사규정" * 60 in text
    assert "1,234,567" in text
    assert "[bold]b[/bold] :smile:" in text


def test_progress_off_a_terminal_speaks_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    lines = Lines("folder", lambda: now[0])
    for second in range(12):
        now[0] = 100.0 + second
        lines(Step(done=second * 10, total=200, chunks=second))
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "folder: 50 of 200, 10.0/s, 15 s left, 5 chunks",
        "folder: 100 of 200, 10.0/s, 10 s left, 10 chunks",
    ]


def test_sizes_read_well() -> None:
    assert [size_of(each) for each in (0, 999, 1_000, 2_500_000, 7 * 10**12)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "2.5 MB",
        "7.0 TB",
    ]
