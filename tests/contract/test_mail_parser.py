"""The parser of e-mails keeps the contract, Korean ones too."""

import base64

import pytest

from s3_to_milvus.adapters.parsers.mail import MailParser
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import Parser
from s3_to_milvus.testing.contracts.parser import ParserContract, Sample, text_of

_EML = "message/rfc822"


def _encoded(text: str, charset: str) -> str:
    return base64.b64encode(text.encode(charset)).decode()


_KOREAN = f"""From: =?utf-8?B?{_encoded("홍길동", "utf-8")}?= <hong@example.com>
To: kim@example.com
Subject: =?euc-kr?B?{_encoded("휴가 안내", "cp949")}?=
Date: Wed, 25 Nov 2026 09:00:00 +0900
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: multipart/alternative; boundary="c"

--c
Content-Type: text/plain; charset="ks_c_5601-1987"
Content-Transfer-Encoding: base64

{_encoded("똠방각하께, 휴가는 15일입니다.", "cp949")}
--c
Content-Type: text/html; charset=utf-8

<p>the same as a page</p>
--c--
--b
Content-Type: text/plain; charset=utf-8
Content-Disposition: attachment; filename*=UTF-8''%EA%B7%9C%EC%A0%95.txt
Content-Transfer-Encoding: base64

{_encoded("제1조", "utf-8")}
--b
Content-Type: message/rfc822

Subject: inner
From: a@example.com

deep inside
--b--
"""


class TestMailParser(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return MailParser()

    @pytest.fixture
    def sample(self) -> Sample:
        phrases = (
            "휴가 안내",
            "From: 홍길동 <hong@example.com>",
            "To: kim",
            "Date: Wed, 25 Nov",
            "똠방각하께, 휴가는 15일",
        )
        return Sample(_KOREAN.encode(), _EML, phrases)

    @pytest.fixture
    def damaged(self) -> Sample | None:
        return Sample(bytes(range(1, 256)) * 4, _EML)

    @pytest.fixture
    def blank(self) -> Sample | None:
        return Sample(b"X-Mailer: none\n\n \n", _EML)

    def test_attached_files_keep_their_names_and_bytes(self, parser: Parser, sample: Sample) -> None:
        document = parser.parse(sample.input)
        attachments = list(document.attachments)
        assert [each.name for each in attachments] == ["규정.txt", "inner.eml"]
        assert attachments[0].data == "제1조".encode()
        assert b"deep inside" in (attachments[1].data or b"")
        assert "the same as a page" not in text_of(list(document.blocks))


def test_a_body_that_is_a_page_becomes_blocks() -> None:
    data = b"From: a@b.c\nSubject: x\nContent-Type: text/html\n\n<h2>Top</h2><p>one</p><script>no()</script>"
    blocks = list(MailParser().parse(Sample(data, _EML).input).blocks)
    assert [block.text for block in blocks] == ["x", "From: a@b.c", "Top", "one"]


def test_a_mail_that_is_only_a_file_has_it_as_attachment() -> None:
    data = b"From: a@b.c\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0="
    (attachment,) = MailParser().parse(Sample(data, _EML).input).attachments
    assert (attachment.name, attachment.data) == ("a.pdf", b"%PDF-")


@pytest.mark.parametrize("count", [60, 500, 3_000])
def test_nested_mails_and_parts_end_well(count: int) -> None:
    mails = b"Subject: x\nFrom: a@b.c\nContent-Type: message/rfc822\n\n" * count + b"Subject: last\n\ndeep"
    parts = b"Subject: x\nFrom: a@b.c\n"
    for number in range(count):
        parts += b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (number, number)
    parts += b"\nbody\n"
    for data in (mails, parts):
        try:
            document = MailParser().parse(Sample(data, _EML).input)
            found = [*document.blocks, *document.attachments]
        except UnreadableDocument:
            continue
        assert found
