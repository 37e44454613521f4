"""E-mails: headers, the body, and the attached files."""

import contextlib
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.adapters.html_pages import read_html
from s3_to_milvus.adapters.parsers.mail.outlook import message_of
from s3_to_milvus.domain.charsets import charset_of, clean_text, python_charset
from s3_to_milvus.domain.documents import Attachment, Block, BlockKind, Document
from s3_to_milvus.domain.formats import Format, media_types_of
from s3_to_milvus.domain.plain import paragraphs
from s3_to_milvus.errors import UnreadableDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["MailParser"]

_EML, _MSG = "message/rfc822", "application/vnd.ms-outlook"
_NAMED = ("From", "To", "Cc", "Date")
_ANY_HEADER = re.compile(rb"^[A-Za-z][A-Za-z0-9-]*:", re.MULTILINE)


class MailParser:
    """The subject as heading, who wrote to whom, the body; attachments are read by the parsers of their kinds."""

    kind = "mail"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(extra="forbid")

    # Raise it whenever the same file would give other blocks.
    fingerprint = "mail-3"
    formats: tuple[Format, ...] = (
        Format("E-mail", _EML, ("eml",), has_tables=True, has_headings=True, limits="attachments by their own kind"),
        Format("Outlook message", _MSG, ("msg",), has_tables=True, has_headings=True, limits="attachments likewise"),
    )
    media_types = media_types_of(formats)
    page_media_types: frozenset[str] = frozenset()
    preload = ("lxml.etree", "email.policy", "olefile")

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()

    def parse(self, source: ParserInput) -> Document:
        """The whole mail is held in memory. Raises `UnreadableDocument` for what is none."""
        data = source.read()
        message: Any
        message, warnings = message_of(data) if source.media_type == _MSG else (_sent(data), ())
        subject = _header(message, "Subject")
        blocks = [Block(BlockKind.HEADING, subject[:2_000], level=1)] if subject else []
        lines = [f"{name}: {value[:2_000]}" for name in _NAMED if (value := _header(message, name))]
        if lines:
            blocks.append(Block(BlockKind.PARAGRAPH, "\n".join(lines)))
        body = _body_of(message)
        if body is not None:
            blocks += self._body(body)
        attachments = _attachments(message, body)
        return Document(blocks, source.media_type, title=subject[:500], warnings=warnings, attachments=attachments)

    def check(self) -> str:
        """Nothing is needed from outside."""
        return "E-mails: ready"

    def _body(self, body: Any) -> Iterator[Block]:
        """Paragraphs of plain text, or the blocks of a page."""
        text = clean_text(_text(body))
        if body.get_content_type() == "text/html":
            with contextlib.suppress(UnreadableDocument):
                yield from read_html(text).blocks
            return
        for part in paragraphs((text,)):
            yield Block(BlockKind.PARAGRAPH, part)


def _body_of(message: Any) -> Any:
    """The part that people read; None where there is none."""
    try:
        return message.get_body(("plain", "html")) if isinstance(message, EmailMessage) else None
    except RecursionError as exc:
        raise UnreadableDocument("The e-mail is nested too deeply.") from exc


def _sent(data: bytes) -> Any:
    """An e-mail as it was sent."""
    if data.strip() and not _ANY_HEADER.search(data[:65_536]):
        raise UnreadableDocument("The e-mail has no headers: it is damaged or none.")
    try:
        return message_from_bytes(data, _class=EmailMessage, policy=policy.default.clone(raise_on_defect=False))
    except RecursionError as exc:
        raise UnreadableDocument("The e-mail is nested too deeply.") from exc


def _header(message: Any, name: str) -> str:
    """A header on one line; as it stands where it cannot be decoded."""
    try:
        value = str(message.get(name, ""))
    except Exception:  # noqa: BLE001 - the standard library raises whatever a broken header makes it meet
        value = next((str(text) for key, text in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(clean_text(value).split())


def _text(part: Any) -> str:
    """The text of a part: by what it declares, else by what its bytes are."""
    data = part.get_payload(decode=True) or b""
    declared = str(part.get_content_charset("") or "")
    named = python_charset(declared.replace("ks_c_5601-1987", "cp949")) if declared else None
    if named:
        with contextlib.suppress(UnicodeDecodeError):
            return str(data.decode(named))
    return str(data.decode(charset_of(data, lambda sample: None, declared=declared), "replace"))


def _attachments(message: Any, body: Any) -> Iterator[Attachment]:
    """Every part that is a file, and every text that is not the body, in their order."""
    waiting = [message]
    number = 0
    while waiting:
        part = waiting.pop(0)
        if part is body:
            continue
        kind = part.get_content_type()
        if part.is_multipart() and kind != "message/rfc822":
            inner = list(part.iter_parts()) if hasattr(part, "iter_parts") else list(part.get_payload())
            is_same = kind == "multipart/alternative" and body is not None
            waiting[:0] = [each for each in inner if not (is_same and each.get_content_maintype() == "text")]
            continue
        number += 1
        if kind == "message/rfc822":
            yield _inner_mail(part, number)
        elif data := part.get_payload(decode=True):
            yield Attachment(_name(part) or f"{part.get_content_maintype()}-{number}", data)


def _inner_mail(part: Any, number: int) -> Attachment:
    """A mail that is attached."""
    inner = part.get_payload(0) if part.is_multipart() else part
    name = f"{_header(inner, 'Subject') or f'mail-{number}'}.eml"
    try:
        return Attachment(name, bytes(inner))
    except RecursionError:
        return Attachment(name, error=UnreadableDocument("The e-mail is nested too deeply."))
    except Exception as exc:  # noqa: BLE001 - as in `_header`
        return Attachment(name, error=UnreadableDocument(f"The attached e-mail is damaged ({type(exc).__name__})."))


def _name(part: Any) -> str:
    """The decoded name of an attached file."""
    try:
        return clean_text(part.get_filename("") or "").strip()
    except Exception:  # noqa: BLE001 - as in `_header`
        return ""
