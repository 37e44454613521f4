"""The ledger is gone, bucket and rows are not: everything is indexed anew, and what was left goes by itself."""

from pathlib import Path

from tests.support.line import line_over


def test_a_lost_ledger_loses_no_document_and_leaves_no_row(tmp_path: Path) -> None:
    docs, data = tmp_path / "docs", tmp_path / "data"
    docs.mkdir()
    for number in range(5):
        (docs / f"{number}.txt").write_text(f"낱말{number} 문서 하나", encoding="utf-8")
    with line_over(data, [docs]) as line:
        assert line.sync().added == 5
    for file in data.glob("ledger.db*"):
        file.unlink()
    (docs / "0.txt").write_text("완전히 새로운 말", encoding="utf-8")
    (docs / "1.txt").unlink()
    with line_over(data, [docs]) as line:
        assert line.sync().added == 4
        assert {hit.key for hit in line.hits("낱말1 문서 하나", 10)} <= {"0.txt", "2.txt", "3.txt", "4.txt"}
        line.expect_equal()
