"""The real line over real files: what is indexed, what is refused and in which words, what a search finds."""

import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.object_stores.folder import FolderStore
from s3_to_milvus.adapters.parsers.ocr.engine import data_folder
from s3_to_milvus.domain.records import Outcome
from tests.support.corpus import CORPUS, require_corpus
from tests.support.line import Line, line_over

require_corpus()

NFD_NAME = unicodedata.normalize("NFD", "인사/휴가 규정.txt")
NFC_NAME = unicodedata.normalize("NFC", "인사/휴가 규정.txt")
CP949_TEXT = "똠방각하는 펲시콜라를 마시며 햏자들과 찦차를 탔다."

UNSUPPORTED = {
    "Files of unknown binary content": ("bin_random.bin",),
}
INDEXED = {
    *("html_10k_1p.html", "html_euckr.html", "html_wikipedia.html", "md_comprehensive.md"),
    *("pdf_broken_badstructure.pdf", "pdf_form.pdf", "pdf_korean_tables.pdf", "pdf_multicolumn_2p.pdf"),
    *("pdf_notpdf_badjson.pdf", "pdf_paper_table.pdf", "pdf_scanned_en.pdf", "pdf_table_borderless.pdf"),
    *("pdf_text_4p.pdf", "txt_korean_euckr.txt", "txt_utf16le.txt", "txt_utf8_norwich.txt"),
    *("doc_headers_numbered.docx", "doc_tables.docx", "doc_textbox.docx", "doc_legacy.doc"),
    *("ppt_chart.pptx", "ppt_sample.pptx", "ppt_legacy.ppt", "xls_multi.xlsx", "xls_inflated.xlsx", "xls_legacy.xls"),
    *("hwp_sample5017.hwp", "hwp_footnote.hwp", "hwp_tika_dist.hwp"),
    *("hwpx_plan.hwpx", "hwpx_table.hwpx", "hwpx_gov_notice.hwpx"),
    *("rtf_heading.rtf", "odt_doc.odt", "epub_winter.epub", "ipynb_test.ipynb", "msg_attach.msg"),
    *("eml_attach.eml", "eml_family.eml", "txt_cp949.xml", "csv_stanley_utf16.csv", "csv_mskanji.csv"),
}
BY_OCR = {"img_en_ko.png", "img_paper.jpg", "img_da1p.heic", "img_tika_multipage.tif", "pdf_scanned_flat.pdf"}
EMPTY = {"txt_empty.txt", "hwp_table.hwp"}
ENCRYPTED = {"pdf_password_openpassword.pdf", "doc_password.docx", "hwp_password.hwp", "hwpx_password123456.hwpx"}

# question, where the answer stands, a sentence of it, page, heading above it
FACTS = [
    ("북조선 사람들은 자국을 조선이나 공화국이라고", "txt_korean_euckr.txt", "조선(朝鮮)이나 공화국(共和國)", None, ()),
    ("요청하신 웹 페이지를 찾을 수 없습니다", "html_euckr.html", "찾으시는 웹 페이지가", None, ()),
    ("a test document to use for unit tests", "txt_utf16le.txt", "to use for unit tests.", None, ()),
    ("Iwan Roberts Norwich City", "txt_utf8_norwich.txt", "Iwan Roberts", None, ()),
    ("Huardest gefburn", "pdf_text_4p.pdf", "Huardest gefburn", 1, ()),
    ("적립한도 없이 빅포인트 적립", "pdf_korean_tables.pdf", "적립한도 없이", 1, ()),
    (
        "dense passage retrieval open-domain question answering TF-IDF BM25 de facto method",
        "pdf_multicolumn_2p.pdf",
        "are the de facto method.",
        1,
        ("Dense Passage Retrieval for Open-Domain Question Answering", "Abstract"),
    ),
    ("GAO Cybersecurity Strategy pillars", "pdf_broken_badstructure.pdf", "Cybersecurity", 1, None),
    (
        "founded April 4, 1975 Albuquerque, New Mexico, founders Bill Gates Paul Allen",
        "html_wikipedia.html",
        "Founders | Bill Gates Paul Allen",
        None,
        None,
    ),
    (
        "ANNUAL REPORT ON FORM 10-K FOR THE YEAR ENDED DECEMBER 31, 2021",
        "html_10k_1p.html",
        "FOR THE YEAR ENDED DECEMBER 31, 2021",
        None,
        (),
    ),
    ("tikzpicture baseline current bounding box", "md_comprehensive.md", "tikzpicture", None, None),
    ("합계 개똥이 칠득이 국어 영어 수학", "hwpx_table.hwpx", "개똥이 | 89 | 65 | 78", None, ()),
    ("Hey this is a fake attachment!", "eml_attach.eml", "fake attachment", None, None),
    ("Saltwater Ducks 80, 95, 110, 130", "ppt_chart.pptx", "Saltwater Ducks", 1, None),
    ("똠방각하 펲시콜라 햏자", "기타/옛 글.txt", CP949_TEXT, None, ()),
]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("corpus")
    docs = folder / "문서"
    shutil.copytree(CORPUS, docs, ignore=shutil.ignore_patterns("SOURCES.tsv"))
    _write(docs, NFD_NAME, "분해된 이름의 파일에는 소나무가 서 있다.".encode())
    _write(docs, NFC_NAME, "합쳐진 이름의 파일에는 자작나무가 서 있다.".encode())
    _write(docs, "기타/옛 글.txt", CP949_TEXT.encode("cp949"))
    with line_over(folder / "data", [docs]) as line:
        report = line.sync()
        assert report.added == len(line.indexed()) == report.chunks - _more_chunks(line)
        yield line


def _write(folder: Path, key: str, data: bytes) -> None:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _more_chunks(line: Line) -> int:
    return sum(record.chunk_count - 1 for record in line.records().values() if record.chunk_count)


def test_every_file_has_an_end_that_can_be_understood(line: Line) -> None:
    records = line.records()
    root = Path(line.source.uri)
    assert set(records) == {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert {key for key in INDEXED if records[key].outcome is not Outcome.INDEXED} == set()
    assert {key for key in EMPTY if records[key].outcome is not Outcome.EMPTY} == set()
    failed = {key for key, record in records.items() if record.outcome is Outcome.FAILED}
    assert failed == {key for key, record in records.items() if record.error_code}
    assert not [key for key in failed if not records[key].error]


def test_pictures_of_text_are_read_or_say_what_is_missing(line: Line) -> None:
    records = line.records()
    if data_folder("", ("kor", "eng")) is None:
        assert {records[key].error_code for key in BY_OCR} == {"unsupported_format"}
        assert all("tesseract-ocr-kor" in records[key].error for key in BY_OCR)
    else:
        assert {key for key in BY_OCR if records[key].outcome is not Outcome.INDEXED} == set()


@pytest.mark.parametrize(("kind", "names"), UNSUPPORTED.items())
def test_what_is_not_read_is_called_by_the_name_people_use(line: Line, kind: str, names: tuple[str, ...]) -> None:
    for name in names:
        record = line.records()[name]
        assert (record.outcome, record.error_code, record.chunk_count) == (Outcome.FAILED, "unsupported_format", 0)
        assert record.error.startswith(f"{kind}: no parser")
        assert "Convert the file" in record.error


@pytest.mark.parametrize("name", sorted(ENCRYPTED))
def test_a_password_is_named_as_the_reason(line: Line, name: str) -> None:
    record = line.records()[name]
    assert (record.outcome, record.error_code) == (Outcome.FAILED, "encrypted_document")
    assert "password" in record.error
    assert "a copy without" in record.error


@pytest.mark.parametrize(("query", "key", "words", "page", "heading"), FACTS, ids=[fact[2] for fact in FACTS])
def test_what_stands_in_a_file_is_found_there(
    line: Line, query: str, key: str, words: str, page: int | None, heading: tuple[str, ...] | None
) -> None:
    hits = line.hits(query)
    assert hits[0].key == key
    found = [hit for hit in hits if hit.key == key and words in hit.text]
    assert found, [hit.text for hit in hits]
    assert page in {hit.page for hit in found}
    if heading is not None:
        assert heading in {hit.heading for hit in found}


def test_headings_and_pages_stand_with_the_rows(line: Line) -> None:
    (status,) = line.mirror.find("md_comprehensive.md")
    headings = [tuple(row.meta.get("heading", ())) for row in line.mirror.chunks(status)]
    assert ("Additional markdown reader tests", "Grid Tables") in headings
    (status,) = line.mirror.find("pdf_text_4p.pdf")
    pages = [row.page for row in line.mirror.chunks(status)]
    assert pages == sorted(pages)
    assert set(pages) == {1, 2, 3, 4}
    assert {hit.page for hit in line.hits("Huardest gefburn", 40) if hit.key == "pdf_text_4p.pdf"} == {1, 2, 3, 4}


def test_twins_that_differ_in_their_unicode_form_are_two_files(line: Line) -> None:
    assert [hit.key for hit in line.hits("소나무가 서 있다", 1)] == [NFD_NAME]
    assert [hit.key for hit in line.hits("자작나무가 서 있다", 1)] == [NFC_NAME]
    hit = line.hits("소나무가 서 있다", 1)[0]
    assert (hit.collection, hit.bucket) == ("인사", line.source.name)


def test_no_text_has_broken_characters(line: Line) -> None:
    broken = {key for key, texts in line.shown().items() if any("\ufffd" in text for text in texts)}
    assert broken == set()


def test_everything_agrees(line: Line) -> None:
    line.expect_equal()


def test_a_second_sync_opens_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    get = FolderStore.get

    def counted(store: FolderStore, *args: Any, **more: Any) -> Any:
        opened.append(args)
        return get(store, *args, **more)

    monkeypatch.setattr(FolderStore, "get", counted)
    report = line.sync()
    assert opened == []
    assert (report.added, report.changed, report.removed, report.chunks, report.embedded) == (0, 0, 0, 0, 0)
    assert report.unchanged == len(line.indexed())
    assert report.unchanged + report.failed + report.empty == len(line.records())


def test_changes_show_in_a_search_and_leave_nothing_behind(line: Line) -> None:
    """The last test of this file: it changes what the others look at."""
    root = Path(line.source.uri)
    (root / "md_comprehensive.md").write_text("# 새 문서\n\n코끼리가 마당에서 춤을 춘다.", encoding="utf-8")
    (root / "txt_utf16le.txt").unlink()
    (root / "pdf_text_4p.pdf").rename(root / "기타" / "moved.pdf")
    shutil.copyfile(root / "html_euckr.html", root / "doc_legacy.doc")
    (root / NFD_NAME).unlink()
    report = line.sync()
    assert (report.added, report.changed, report.removed) == (1, 2, 3)
    hit = line.hits("코끼리가 마당에서 춤을 춘다", 1)[0]
    assert (hit.key, hit.heading) == ("md_comprehensive.md", ("새 문서",))
    shown = line.shown()
    assert "tikzpicture" not in "".join(shown["md_comprehensive.md"])
    assert shown.keys().isdisjoint({"txt_utf16le.txt", "pdf_text_4p.pdf", NFD_NAME})
    assert shown["doc_legacy.doc"] == shown["html_euckr.html"]
    assert "Huardest gefburn" in "".join(shown["기타/moved.pdf"])
    line.expect_equal()
