"""The real line with routes: passwords open what asked for one, archives are read where a route says so."""

import io
import zipfile
from pathlib import Path

from s3_to_milvus.domain.records import Outcome
from tests.support.corpus import corpus_file
from tests.support.line import line_over
from tests.support.made import PASSWORD, made_files

LOCKED = ("doc_password.docx", "hwpx_password123456.hwpx", "pdf_password_openpassword.pdf")
PASSWORDS = ["wrong", "tika", "123456", "openpassword", PASSWORD]


def test_new_passwords_open_the_files_that_asked_for_one(tmp_path: Path) -> None:
    locked = {made.name: made.data for made in made_files() if made.name.startswith("locked.")}
    assert "연차휴가는 열다섯 날이다" in "".join(_opened(tmp_path, locked)["잠긴/locked.docx"])


def test_passwords_open_real_files_too(tmp_path: Path) -> None:
    locked = {name: corpus_file(name).read_bytes() for name in LOCKED}
    assert "한글 97 안내문" in "".join(_opened(tmp_path, locked)["잠긴/hwpx_password123456.hwpx"])


def _opened(tmp_path: Path, locked: dict[str, bytes]) -> dict[str, list[str]]:
    """What is shown once the route has the passwords; without them each file fails, once."""
    docs = tmp_path / "docs"
    (docs / "잠긴").mkdir(parents=True)
    for name, data in locked.items():
        (docs / "잠긴" / name).write_bytes(data)
    (docs / "open.txt").write_text("open")
    with line_over(tmp_path / "data", [docs]) as line:
        assert line.sync().failed == len(locked)
        assert line.sync().changed == 0
    routes = [{"prefix": "잠긴/", "passwords": PASSWORDS}]
    with line_over(tmp_path / "data", [docs], routes=routes) as line:
        report = line.sync()
        assert (report.added + report.changed, report.failed) == (len(locked), 0)
        assert line.indexed() == {"open.txt", *(f"잠긴/{name}" for name in locked)}
        line.expect_equal()
        return line.shown()


def _archive() -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("깊은/메모.txt", "고래는 바다에 산다.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("속.zip", inner.getvalue())
        archive.writestr("page.html", "<h1>Elephants</h1><p>They do not.</p>")
        archive.writestr("damaged.pdf", b"%PDF-1.7 nothing")
        archive.writestr("large.txt", "word " * 600_000)
    return buffer.getvalue()


def test_archives_are_read_where_a_route_says_so(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    for folder in ("zips", "other"):
        (docs / folder).mkdir(parents=True)
        (docs / folder / "a.zip").write_bytes(_archive())
    routes = [{"prefix": "zips/", "parsers": ["zip", "text", "html", "pdf"]}]
    with line_over(tmp_path / "data", [docs], routes=routes) as line:
        line.sync()
        records = line.records()
        assert records["other/a.zip"].error_code == "unsupported_format"
        record = records["zips/a.zip"]
        assert record.outcome is Outcome.INDEXED
        assert record.error.startswith("damaged.pdf: ")
        hit = line.hits("고래는 바다에 산다", 1)[0]
        assert hit.key == "zips/a.zip"
        assert "깊은/메모.txt" in hit.text
        assert sum(text.count("word") for text in line.shown()["zips/a.zip"]) >= 600_000
        line.expect_equal()
