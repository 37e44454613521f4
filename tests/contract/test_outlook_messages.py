"""Outlook messages keep the contract: Korean in code pages, attachments, messages in messages, bodies of any kind."""

import struct

import compressed_rtf
import pytest

from s3_to_milvus.adapters.parsers.mail import MailParser
from s3_to_milvus.adapters.sniff import sniff
from s3_to_milvus.domain.documents import Document
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of
from tests.support.compound import compound_file, outlook_message

_MSG = "application/vnd.ms-outlook"
_INNER = outlook_message({0x0037: "속 메일", 0x1000: "깊은 곳"}, [{0x3707: "c.txt", 0x3701: b"c"}], header=24)
_KOREAN = compound_file(
    outlook_message(
        {
            0x0037: "휴가 안내".encode("cp949"),
            0x0C1A: "홍길동".encode("cp949"),
            0x0C1F: b"hong@example.com",
            0x0E04: "김철수; 이영희".encode("cp949"),
            0x0039: 133_801_000_000_000_000,
            0x3FFD: 949,
            0x1000: "똠방각하께\r\n\r\n휴가는 15일입니다.".encode("cp949"),
        },
        [{0x3707: "규정.txt", 0x3701: "제1조".encode()}, _INNER],
    )
)


def _read(data: bytes) -> Document:
    assert sniff(data, None, "a") == _MSG
    return MailParser().parse(Sample(data, _MSG).input)


class TestOutlookMessage(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return MailParser()

    @pytest.fixture
    def sample(self) -> Sample:
        phrases = (
            "휴가 안내",
            "From: 홍길동 <hong@example.com>",
            "To: 김철수",
            "Date:",
            "똠방각하께",
            "휴가는 15일입니다.",
        )
        return Sample(_KOREAN, _MSG, phrases)

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(_KOREAN[:700], _MSG)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(compound_file(outlook_message({})), _MSG)


def test_attachments_and_messages_inside() -> None:
    document = _read(_KOREAN)
    assert document.title == "휴가 안내"
    first, inner = document.attachments
    assert (first.name, first.data) == ("규정.txt", "제1조".encode())
    assert inner.name == "속 메일.eml"
    assert inner.data is not None
    assert sniff(inner.data, None, inner.name) == "message/rfc822"
    mail = MailParser().parse(Sample(inner.data, "message/rfc822").input)
    assert "깊은 곳" in text_of(list(mail.blocks))
    assert [each.name for each in mail.attachments] == ["c.txt"]


@pytest.mark.parametrize("page", [0, 949, 1252, 51_949, 65_001, 12_345_678])
def test_a_missing_or_unknown_code_page_spoils_no_korean(page: int) -> None:
    charset = "utf-8" if page == 65_001 else "cp949"
    properties: dict[int, str | bytes | int] = {
        0x0037: "연차휴가 사용 촉진 안내".encode(charset),
        0x3FFD: page,
        0x1000: "내년부터 시행합니다.".encode(charset),
    }
    text = text_of(list(_read(compound_file(outlook_message(properties))).blocks))
    assert "연차휴가 사용 촉진 안내" in text
    assert "내년부터 시행합니다." in text


@pytest.mark.parametrize(
    ("data", "page"),
    [
        ("<p>본문</p>".encode("cp949"), 949),
        ("<p>본문</p>".encode("cp949"), 1252),
        ('<meta charset="euc-kr"><p>본문</p>'.encode("cp949"), 65_001),
        ("<p>본문</p>", 0),
    ],
)
def test_a_body_that_is_a_page(data: bytes | str, page: int) -> None:
    blocks = list(_read(compound_file(outlook_message({0x1013: data, 0x3FDE: page}))).blocks)
    assert [block.text for block in blocks] == ["본문"]


def test_a_body_that_is_rtf_only() -> None:
    rich = compressed_rtf.compress(rb"{\rtf1\ansi\ansicpg949 \'ba\'bb\'b9\'ae\par}", compressed=True)
    document = _read(compound_file(outlook_message({0x0037: "x", 0x1009: rich})))
    (attachment,) = document.attachments
    assert attachment.data is not None
    assert sniff(attachment.data, None, attachment.name) == "application/rtf"
    for damaged in (rich[:20], b"", b"\xff" * 200):
        assert _read(compound_file(outlook_message({0x0037: "x", 0x1009: damaged}))).title == "x"


def test_western_text_in_its_code_page_stays() -> None:
    properties: dict[int, str | bytes | int] = {0x0037: "Übermüdete Äpfel, déjà vu".encode("cp1252"), 0x3FFD: 1252}
    assert _read(compound_file(outlook_message(properties))).title == "Übermüdete Äpfel, déjà vu"


def _torn(data: bytes, content: bytes) -> bytes:
    """The file with the chain of sectors torn behind the first one of this content."""
    sector, place = data.index(content) // 512 - 1, (struct.unpack("<I", data[76:80])[0] + 1) * 512
    torn = bytearray(data)
    torn[place + 4 * sector : place + 4 * sector + 4] = struct.pack("<I", 0xFFFFF0)
    return bytes(torn)


def test_what_is_damaged_is_named_and_never_left_out_silently() -> None:
    body, file = "긴 본문 " * 3_000, "제1조 ".encode() * 3_000
    data = compound_file(outlook_message({0x0037: "제목", 0x1000: body}, [{0x3707: "규정.txt", 0x3701: file}]))
    document = _read(_torn(data, file[:64]))
    assert list(document.attachments) == []
    assert document.warnings == ("규정.txt: the attached file is damaged and was not read",)
    document = _read(_torn(data, body.encode("utf-16-le")[:64]))
    assert document.title == "제목"
    assert document.warnings == ("a part of the message is damaged and was not read",)
    assert [each.data for each in document.attachments] == [file]


def test_a_message_whose_only_text_is_lost_is_damaged() -> None:
    data = bytearray(compound_file(outlook_message({0x0037: "제목", 0x1000: "본문 " * 3_000})))
    at = data.index("__substg1.0_1000001F".encode("utf-16-le"))
    data[at + 116 : at + 120] = struct.pack("<I", 0xFFFFF0)
    with pytest.raises(UnreadableDocument, match="damaged"):
        _read(bytes(data))


def test_messages_nested_too_deeply_are_named() -> None:
    inner = outlook_message({0x0037: "last"}, header=24)
    for _ in range(7):
        inner = outlook_message({0x0037: "m"}, [inner], header=24)
    document = _read(compound_file(outlook_message({0x0037: "top"}, [inner])))
    assert document.warnings == ("a message in the message is nested too deeply and was not read",)
