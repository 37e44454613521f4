"""Fixtures every test gets: no settings of the machine leak into a test."""

import os
from collections.abc import Iterator

import pytest
import structlog

_FOREIGN = (
    "UPSTAGE_API_KEY",
    "UPSTAGE_API_URL",
    "OPENAI_API_KEY",
    "MILVUS_URL",
    "NOTION_TOKEN",
    "NOTION_DATABASE_ID",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
)


def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: tests wait most of their time, for processes and limits; a worker grows to a gigabyte."""
    return min(6, 2 * (os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from the test alone, whatever the developer's shell exports."""
    for name in list(os.environ):
        if name.upper().startswith("S2M_") or name.upper() in _FOREIGN:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _clean_process() -> Iterator[None]:
    """What building an application changes of the process, levels of the log and the mask of new files, ends with the
    test."""
    mask = os.umask(0o022)
    yield
    os.umask(mask)
    structlog.reset_defaults()
