"""Outlook messages (MSG) as e-mails of the standard library, with what is attached, messages in messages included.

Properties are read from the compound file as [MS-OXMSG] lays them out; their names and types are in [MS-OXPROPS]. Texts
of old messages are bytes in a code page, which is often missing or wrong: what the bytes prove goes first.
"""

import contextlib
import datetime
import io
from collections.abc import Callable, Iterator
from email import policy
from email.message import EmailMessage
from email.parser import HeaderParser
from typing import Any

from s3_to_milvus.adapters.charset_guess import guess_charset
from s3_to_milvus.adapters.html_pages import decode_html
from s3_to_milvus.domain.charsets import charset_of, clean_text, python_charset
from s3_to_milvus.errors import UnreadableDocument

__all__ = ["message_of"]

_SUBJECT, _BODY, _HTML, _RTF = 0x0037, 0x1000, 0x1013, 0x1009
_SENDER_NAME, _SENDER_ADDRESS, _SENDER_SMTP, _FROM_NAME = 0x0C1A, 0x0C1F, 0x5D01, 0x0042
_TO, _CC, _SENT, _DELIVERED, _HEADERS = 0x0E04, 0x0E03, 0x0039, 0x0E06, 0x007D
_CODE_PAGE, _BODY_CODE_PAGE = 0x3FFD, 0x3FDE
_LONG_NAME, _SHORT_NAME, _SHOWN_NAME, _DATA = 0x3707, 0x3704, 0x3001, 0x3701
_UNICODE, _BYTES, _BINARY, _STORAGE = 0x001F, 0x001E, 0x0102, 0x000D
_PROPERTIES = "__properties_version1.0"
_ATTACHED = "__attach_version1.0_#"
_ROOT_HEADER, _INNER_HEADER = 32, 24
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)
_WESTERN = (1252, 28_591)
_MAX_DEPTH = 5
_MAX_RTF_BYTES = 64 << 20


def message_of(data: bytes) -> tuple[EmailMessage, tuple[str, ...]]:
    """The whole message, and warnings that name what of it could not be read. Raises `UnreadableDocument`."""
    import olefile

    try:
        file = olefile.OleFileIO(io.BytesIO(data))
        names = frozenset(tuple(name) for name in file.listdir(streams=True, storages=True))
    except (OSError, ValueError, IndexError, TypeError, AttributeError, RecursionError) as exc:
        raise UnreadableDocument("The Outlook message is damaged or cut short.") from exc
    root = _Storage(file, names, ())
    if root.stream(_PROPERTIES) is None:
        raise UnreadableDocument("The Outlook message is damaged: its table of properties is missing.")
    warnings: list[str] = []
    made = _Message(root, _ROOT_HEADER, warnings).made(0)
    body = made.get_body(("plain", "html"))
    if root.is_damaged and not (body and str(body.get_content()).strip()) and not any(made.iter_attachments()):
        raise UnreadableDocument("The Outlook message is damaged: its text cannot be read.")
    return made, tuple(dict.fromkeys(warnings))


class _Storage:
    """A folder of the compound file, and the properties that lie in it. ``is_damaged``: one of those asked for was
    shorter than it says, or could not be read."""

    def __init__(self, file: Any, names: frozenset[tuple[str, ...]], place: tuple[str, ...]) -> None:
        self._file, self._names, self._place = file, names, place
        self.is_damaged = False

    def stream(self, name: str) -> bytes | None:
        """The bytes of a stream, or those that are left of it; None where it is not there or cannot be read."""
        path = (*self._place, name)
        if path not in self._names:
            return None
        try:
            data = bytes(self._file.openstream(list(path)).read())
            self.is_damaged |= len(data) != self._file.get_size(list(path))
        except (OSError, ValueError, IndexError, TypeError, AttributeError):
            self.is_damaged = True
            return None
        return data

    def value(self, number: int, kind: int) -> bytes | None:
        """The bytes of a property; None where there is none of this kind."""
        return self.stream(f"__substg1.0_{number:04X}{kind:04X}")

    def text(self, number: int, decode: Callable[[bytes], str]) -> str:
        """A text property: in Unicode, or in bytes for ``decode``."""
        data = self.value(number, _UNICODE)
        if data is not None:
            return clean_text(data.decode("utf-16-le", "replace").replace("\0", ""))
        data = self.value(number, _BYTES)
        return "" if data is None else clean_text(decode(data).replace("\0", ""))

    def inner(self, name: str) -> "_Storage | None":
        """A folder in this one."""
        path = (*self._place, name)
        return _Storage(self._file, self._names, path) if path in self._names else None

    def attachments(self) -> "Iterator[_Storage]":
        """The folders of attachments, in their order."""
        depth = len(self._place)
        found = {
            name[depth]
            for name in self._names
            if name[:depth] == self._place and len(name) > depth and name[depth].startswith(_ATTACHED)
        }
        for name in sorted(found):
            yield _Storage(self._file, self._names, (*self._place, name))


class _Message:
    """A message: the whole file, or one inside another."""

    def __init__(self, storage: _Storage, header_bytes: int, warnings: list[str]) -> None:
        """What cannot be read is added to ``warnings``."""
        self._storage, self._warnings = storage, warnings
        table = storage.stream(_PROPERTIES) or b""
        entries = (table[at : at + 16] for at in range(header_bytes, len(table) - 15, 16))
        self._numbers = {int.from_bytes(each[2:4], "little"): int.from_bytes(each[8:], "little") for each in entries}

    def made(self, depth: int) -> EmailMessage:
        """Headers, body, attachments."""
        made = EmailMessage(policy=policy.default.clone(raise_on_defect=False))
        for name, value in self._headers():
            made[name] = " ".join(clean_text(value).split())
        body, page = self._text(_BODY), self._page()
        if page.strip() and not body.strip():
            made.set_content(page, subtype="html")
        else:
            made.set_content(body)
            if page.strip():
                made.add_alternative(page, subtype="html")
        if not body.strip() and not page.strip() and (rich := self._rich()):
            made.add_attachment(rich, maintype="application", subtype="rtf", filename="body.rtf")
        if self._storage.is_damaged:
            self._warnings.append("a part of the message is damaged and was not read")
        for attached in self._storage.attachments():
            self._attach(made, attached, depth)
        return made

    def _headers(self) -> Iterator[tuple[str, str]]:
        """Those it was sent with, else what Outlook knows."""
        sent = HeaderParser(policy=policy.default).parsestr(self._text(_HEADERS))
        name = self._text(_SENDER_NAME) or self._text(_FROM_NAME)
        address = self._text(_SENDER_SMTP) or self._text(_SENDER_ADDRESS)
        sender = f"{name} <{address}>" if name and "@" in address else name or address
        known = {"Subject": self._text(_SUBJECT), "From": sender, "To": self._text(_TO), "Cc": self._text(_CC)}
        for title, value in (known | {"Date": self._date()}).items():
            with contextlib.suppress(ValueError, LookupError, AttributeError, TypeError):  # one the library cannot read
                value = value or str(sent.get(title, ""))
            if value.strip():
                yield title, value

    def _date(self) -> str:
        """When it was sent, else delivered; times are counted in 100 ns since 1601."""
        ticks = self._numbers.get(_SENT) or self._numbers.get(_DELIVERED)
        if not ticks:
            return ""
        try:
            return (_EPOCH + datetime.timedelta(microseconds=ticks // 10)).strftime("%a, %d %b %Y %H:%M:%S +0000")
        except OverflowError:
            return ""

    def _page(self) -> str:
        """The HTML body: bytes with a charset of their own, or a text."""
        data = self._storage.value(_HTML, _BINARY)
        if data is None:
            return self._text(_HTML)
        page = self._numbers.get(_BODY_CODE_PAGE, 0)
        if b"charset" not in data[:4096].lower() and python_charset(_name_of_page(page)):
            with contextlib.suppress(UnicodeDecodeError):
                return clean_text(data.decode(_charset(data, page)))
        return clean_text(decode_html(data))

    def _rich(self) -> bytes:
        """The body as RTF, which Outlook compresses; b"" without one."""
        import compressed_rtf

        data = self._storage.value(_RTF, _BINARY)
        if data is None or int.from_bytes(data[4:8], "little") > _MAX_RTF_BYTES:
            return b""
        try:
            return bytes(compressed_rtf.decompress(data))
        except Exception:  # noqa: BLE001 - the library raises whatever damaged data makes it meet
            return b""

    def _attach(self, message: EmailMessage, attached: _Storage, depth: int) -> None:
        """Attach the bytes, or the message inside; half a file is none."""
        inner = attached.inner(f"__substg1.0_{_DATA:04X}{_STORAGE:04X}")
        if inner is not None:
            if depth < _MAX_DEPTH and inner.stream(_PROPERTIES) is not None:
                message.add_attachment(_Message(inner, _INNER_HEADER, self._warnings).made(depth + 1))
            else:
                why = "damaged" if depth < _MAX_DEPTH else "nested too deeply"
                self._warnings.append(f"a message in the message is {why} and was not read")
            return
        data = attached.value(_DATA, _BINARY)
        is_damaged = attached.is_damaged
        names = (attached.text(number, self._decode) for number in (_LONG_NAME, _SHOWN_NAME, _SHORT_NAME))
        name = next((" ".join(each.split())[:255] for each in names if each.strip()), "attachment")
        if is_damaged:
            self._warnings.append(f"{name}: the attached file is damaged and was not read")
        elif data:
            message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)

    def _text(self, number: int) -> str:
        return self._storage.text(number, self._decode)

    def _decode(self, data: bytes) -> str:
        """Bytes of this message as text."""
        page = self._numbers.get(_CODE_PAGE) or self._numbers.get(_BODY_CODE_PAGE) or 949
        return data.decode(_charset(data, page), "replace")


def _charset(data: bytes, page: int) -> str:
    """The charset of bytes in a code page. A Western one fits any bytes, so there the shape of Korean goes first."""
    if page in _WESTERN and charset_of(data, lambda sample: None) == "cp949":
        return "cp949"
    return charset_of(data, guess_charset, declared=_name_of_page(page))


def _name_of_page(page: int) -> str:
    """A code page as a name of a charset."""
    return {65_001: "utf-8", 20_127: "ascii"}.get(page, f"cp{page & 0xFFFF}")
