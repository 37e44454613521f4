"""What a file is, told by its content."""

import io
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_milvus.adapters.sniff import sniff, sniffer
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.domain.media import BINARY, describe
from tests.support.corpus import corpus_cases, corpus_file
from tests.support.made.hangul import hwp5
from tests.support.pdfs import make_pdf

OFFICE = "application/vnd.openxmlformats-officedocument."
KOREAN = "정부는 오늘 새로운 정책을 발표했다. 국민의 의견을 듣겠다고 밝혔다.\n" * 4


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"", "a.txt", "text/plain"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "notes.txt", "image/png"),
        (b'{"a": 1}', "report.pdf", "application/json"),
        (b"dummy source file\n", "report.pdf", "text/plain"),
        (b"# Title\n\ntext", "readme.md", "text/markdown"),
        (b"# Title\n\ntext", "readme.txt", "text/plain"),
        (b"<div align=center><img src=x></div>\n\n# Title", "README.md", "text/markdown"),
        (b"<div>hello</div>", "page.txt", "text/html"),
        (b"a,b\n1,2\n", "a.csv", "text/csv"),
        (b"\xef\xbb\xbf<!-- c --><!DOCTYPE HTML PUBLIC '-//W3C'><html>", "x", "text/html"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html xmlns='x'>", "x", "application/xhtml+xml"),
        (b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'b'>]><r/>", "x.html", "application/xml"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x", "image/svg+xml"),
        (b'{"a":1}\n{"b":2}\n', "x.log", "application/json"),
        (b"[1] A reference that is no JSON", "x", "text/plain"),
        (b"[note] this is text", "x", "text/plain"),
        (b"{\\rtf1\\ansi hello}", "x", "application/rtf"),
        (b"From: a@b.c\nTo: d@e.f\nMessage-ID: <1>\n\nhello", "x", "message/rfc822"),
        (b"From: the desk\nTo: all\n\nno mail, a memo", "x", "text/plain"),
        (b"Note: this is one line\n", "x", "text/plain"),
        (b"junk before\n%PDF-1.4\n1 0 obj\n<<>>", "x", "application/pdf"),
        (b"a text that explains what %PDF-1.4 at the start of a file means", "x", "text/plain"),
        (b"\x1b[31mred\x1b[0m log line\n" * 9, "x.log", "text/plain"),
        (b"one stray \0 among many letters " * 9 + b"x" * 2000, "x", "text/plain"),
        (KOREAN.encode("cp949"), "x.bin", "text/plain"),
        (KOREAN.encode("utf-16"), "x.bin", "text/plain"),
        (KOREAN.encode("utf-16-le"), "x.bin", "text/plain"),
        (KOREAN.encode("utf-16-be"), "x.md", "text/markdown"),
        (KOREAN.encode("utf-32"), "x.bin", "text/plain"),
        (KOREAN.encode()[:-2], "x.bin", "text/plain"),
        (bytes(64), "x.txt", BINARY),
        (b"\x7fELF\2\1\1" + bytes(64), "x.txt", "application/x-executable"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "x", "image/webp"),
        (b"\0\0\0\x18ftypavif", "x", "image/avif"),
        (b"\0\0\0\x18ftypisom", "x", "video/mp4"),
        (b"HWP Document File V3.00 \x1a\1\2", "x", "application/x-hwp"),
        (make_pdf([["a"]]), "x.txt", "application/pdf"),
    ],
)
def test_by_content(data: bytes, name: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "0001"
    path.write_bytes(data)
    assert sniff(data, None, name) == expected
    assert sniff(None, path, name) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (["[Content_Types].xml", "word/document.xml"], OFFICE + "wordprocessingml.document"),
        (["xl/workbook.xml"], OFFICE + "spreadsheetml.sheet"),
        (["ppt/presentation.xml"], OFFICE + "presentationml.presentation"),
        (["version.xml", "Contents/section0.xml"], "application/hwp+zip"),
        (["a.txt", "b/word/c"], "application/zip"),
        ([], "application/zip"),
    ],
)
def test_zip_containers(members: list[str], expected: str) -> None:
    data = _zip(dict.fromkeys(members, b"x" * 100))
    assert sniff(data, None, "a.pdf") == expected


@pytest.mark.parametrize(
    "kind",
    ["application/epub+zip", "application/hwp+zip", "application/vnd.oasis.opendocument.text"],
)
def test_zip_containers_that_name_themselves(kind: str) -> None:
    assert sniff(_zip({"mimetype": kind.encode(), "content.xml": b"<a/>"}), None, "x") == kind


def test_a_zip_with_a_million_members_is_cheap_and_a_cut_one_is_still_known() -> None:
    data = _zip({"word/document.xml": b"x"} | {f"{number}": b"" for number in range(30_000)})
    assert sniff(data, None, "x") == OFFICE + "wordprocessingml.document"
    assert sniff(data[: len(data) // 2], None, "x") == OFFICE + "wordprocessingml.document"


@pytest.mark.parametrize(
    ("name", "expected"),
    corpus_cases(
        [
            ("bin_random.bin", BINARY),
            ("csv_mskanji.csv", "text/csv"),
            ("csv_stanley_utf16.csv", "text/csv"),
            ("doc_legacy.doc", "application/msword"),
            ("doc_password.docx", "application/x-ole-encrypted"),
            ("doc_tables.docx", OFFICE + "wordprocessingml.document"),
            ("eml_attach.eml", "message/rfc822"),
            ("epub_winter.epub", "application/epub+zip"),
            ("html_10k_1p.html", "application/xhtml+xml"),
            ("html_euckr.html", "text/html"),
            ("hwp_password.hwp", "application/x-hwp"),
            ("hwp_tika_dist.hwp", "application/x-hwp"),
            ("hwpx_plan.hwpx", "application/hwp+zip"),
            ("img_24.bmp", "image/bmp"),
            ("img_da1p.heic", "image/heic"),
            ("img_paper.jpg", "image/jpeg"),
            ("img_tika_multipage.tif", "image/tiff"),
            ("ipynb_test.ipynb", "application/x-ipynb+json"),
            ("msg_attach.msg", "application/vnd.ms-outlook"),
            ("odt_doc.odt", "application/vnd.oasis.opendocument.text"),
            ("pdf_broken_badstructure.pdf", "application/pdf"),
            ("pdf_notpdf_badjson.pdf", "text/plain"),
            ("ppt_chart.pptx", OFFICE + "presentationml.presentation"),
            ("ppt_legacy.ppt", "application/vnd.ms-powerpoint"),
            ("rtf_heading.rtf", "application/rtf"),
            ("txt_cp949.xml", "application/xml"),
            ("txt_korean_euckr.txt", "text/plain"),
            ("txt_utf16le.txt", "text/plain"),
            ("xls_inflated.xlsx", OFFICE + "spreadsheetml.sheet"),
            ("xls_legacy.xls", "application/vnd.ms-excel"),
        ]
    ),
)
def test_real_files(name: str, expected: str) -> None:
    path = corpus_file(name)
    suffix = "csv" if name.endswith("csv") else "wrong"
    assert sniff(None, path, f"x.{suffix}") == expected
    assert sniff(path.read_bytes(), None, f"x.{suffix}") == expected
    assert describe(expected)[0].isupper()


@given(st.binary(max_size=4096), st.text(max_size=20))
def test_any_bytes_and_any_name_have_a_type(data: bytes, name: str) -> None:
    assert "/" in sniff(data, None, name)


@given(st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]), st.binary(max_size=2048))
def test_broken_containers_have_a_type(magic: bytes, rest: bytes) -> None:
    assert sniff(magic + rest, None, "x").startswith("application/")


def test_random_bytes_are_binary() -> None:
    source = random.Random(7)
    for size in (64, 512, 4_096, 100_000):
        assert sniff(source.randbytes(size), None, "x.txt") == BINARY


def test_mutated_ole_files_end_well() -> None:
    data = hwp5(["제1조 목적", "휴가는 15일이다."])
    source = random.Random(11)
    for _ in range(200):
        mutated = bytearray(data)
        for _ in range(20):
            mutated[source.randrange(8, 2048)] = source.randrange(256)
        assert sniff(bytes(mutated), None, "x").startswith("application/x-")


def test_hostile_markup_is_read_in_no_time() -> None:
    for evil in (
        b"<!---->" * 9_000,
        b"<!--" * 9_000,
        b"<!DOCTYPE" * 7_000,
        b"{" * 65_000,
        b'["' * 30_000,
        b"a: " * 20_000,
    ):
        assert sniff(evil, None, "x")


def test_names_for_people() -> None:
    assert describe("application/x-hwp") == "HWP documents"
    assert describe("image/png") == "PNG images"
    assert describe("application/x-strange") == "Files of type application/x-strange"


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_a_format_of_a_plugin_refines_what_is_general_only() -> None:
    own = [
        Format("Cards", "application/x-cards", ("card",), signature=b"CARD\x01"),
        Format("Subtitles", "application/x-subrip", ("srt",), signature=b""),
        Format("Known", "application/pdf", ("txt",)),
    ]
    sniff_own = sniffer(own)
    assert sniff_own(b"CARD\x01\x00\xff\xfe" + bytes(range(256)), None, "a") == "application/x-cards"
    assert sniff_own(b"1\nhello", None, "a.SRT") == "application/x-subrip"
    assert sniff_own(b"hello", None, "a.txt") == "text/plain"
    assert sniff_own(b"%PDF-1.7 ", None, "a.srt") == "application/pdf"
    assert sniff_own(b"CAR", None, "a.card") == "text/plain"
