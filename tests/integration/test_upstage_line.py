"""The real line with Upstage: for everything, or only for pages that a local parser cannot read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.line import line_over
from tests.support.made.pictures import pictures
from tests.support.pdfs import make_pdf
from tests.support.upstage_server import KEY, UpstageServer, upstage_server


@pytest.fixture
def server() -> Iterator[UpstageServer]:
    with upstage_server() as server:
        yield server


def _settings(server: UpstageServer, kinds: str, **more: Any) -> dict[str, Any]:
    options = {"api_key": KEY, "api_url": server.url, "requests_per_second": 100, "poll_s": 0.05, **more}
    return {"parser__kind": kinds, "parser__upstage": options}


def test_documents_are_read_there_and_searched_here(server: UpstageServer, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    pages = [["Whales of the sea", "They live in the ocean."], ["Elephants", "They do not."]]
    (docs / "동물.pdf").write_bytes(make_pdf(pages))
    with line_over(tmp_path / "data", [docs], **_settings(server, "upstage", sync_pages=1)) as line:
        assert line.sync().added == 1
        hit = line.hits("Whales of the sea live in the ocean", 1)[0]
        assert (hit.key, hit.page) == ("동물.pdf", 1)
        assert "이름 | 쪽" in "".join(line.shown()["동물.pdf"])
        assert [path.rpartition("/")[2] for path, _, _ in server.posts] == ["async"]
        assert line.sync().unchanged == 1
        line.expect_equal()
    assert len(server.posts) == 1


def test_only_pages_without_text_are_sent(server: UpstageServer, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "scan.pdf").write_bytes(pictures("PDF"))
    text = make_pdf([[f"Page {number} of a text that needs no pictures."] for number in range(1, 5)])
    (docs / "text.pdf").write_bytes(text)
    with line_over(tmp_path / "data", [docs], **_settings(server, "pdf,upstage")) as line:
        assert line.sync().failed == 0
        assert server.posts
        assert all(len(data) < len(text) * 50 for _, _, data in server.posts)
        assert "그림 설명" in "".join(line.shown()["scan.pdf"])
        assert "그림 설명" not in "".join(line.shown()["text.pdf"])
        line.expect_equal()
