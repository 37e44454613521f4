"""What kind of file it is, told by its content. The file's name decides only between kinds of plain text."""

import json
import re
from collections.abc import Sequence

from s3_to_milvus.domain.charsets import bom_charset, is_valid_utf8, mostly_utf8, utf16_charset
from s3_to_milvus.domain.containers import OLE_MAGIC

__all__ = ["BINARY", "HTML", "MARKDOWN", "PDF", "PLAIN", "XHTML", "describe", "detect"]

PLAIN = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
XHTML = "application/xhtml+xml"
PDF = "application/pdf"
BINARY = "application/octet-stream"

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."

# media type: (how people call files of this kind)
_NAMES = {
    PLAIN: "Plain text files",
    MARKDOWN: "Markdown files",
    HTML: "HTML pages",
    XHTML: "XHTML pages",
    PDF: "PDF documents",
    BINARY: "Files of unknown binary content",
    "application/json": "JSON files",
    "application/x-ipynb+json": "Jupyter notebooks",
    "application/xml": "XML files",
    "text/csv": "CSV files",
    "text/tab-separated-values": "TSV files",
    "message/rfc822": "E-mails (EML)",
    "application/rtf": "RTF documents",
    "application/vnd.ms-outlook": "Outlook messages (MSG)",
    "application/x-hwp": "HWP documents",
    "application/hwp+zip": "HWPX documents",
    "application/msword": "Word 97-2003 documents (DOC)",
    "application/vnd.ms-excel": "Excel 97-2003 workbooks (XLS)",
    "application/vnd.ms-powerpoint": "PowerPoint 97-2003 presentations (PPT)",
    "application/x-ole-encrypted": "Password-protected Office documents",
    "application/x-ole-storage": "Unknown OLE compound files",
    _OFFICE + "wordprocessingml.document": "Word documents (DOCX)",
    _OFFICE + "presentationml.presentation": "PowerPoint presentations (PPTX)",
    _OFFICE + "spreadsheetml.sheet": "Excel workbooks (XLSX)",
    _OPEN + "text": "OpenDocument texts (ODT)",
    _OPEN + "spreadsheet": "OpenDocument spreadsheets (ODS)",
    _OPEN + "presentation": "OpenDocument presentations (ODP)",
    "application/epub+zip": "EPUB books",
    "application/zip": "ZIP archives",
    "application/java-archive": "Java archives",
    "application/gzip": "GZIP archives",
    "application/x-7z-compressed": "7-Zip archives",
    "application/vnd.rar": "RAR archives",
    "application/x-tar": "TAR archives",
    "application/vnd.sqlite3": "SQLite databases",
    "application/postscript": "PostScript files",
    "image/svg+xml": "SVG drawings",
    "image/vnd.adobe.photoshop": "Photoshop images",
}

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"8BPS\0\1", "image/vnd.adobe.photoshop"),
    (0, b"\0\0\1\0", "image/vnd.microsoft.icon"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"HWP Document File V3.00", "application/x-hwp"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (257, b"ustar", "application/x-tar"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"%!PS-Adobe", "application/postscript"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"\x1a\x45\xdf\xa3", "video/x-matroska"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_HEIF = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis")

_ZIP_PREFIXES = (
    ("word/", _OFFICE + "wordprocessingml.document"),
    ("ppt/", _OFFICE + "presentationml.presentation"),
    ("xl/", _OFFICE + "spreadsheetml.sheet"),
    ("Contents/section", "application/hwp+zip"),
    ("Contents/content.hpf", "application/hwp+zip"),
    ("OEBPS/", "application/epub+zip"),
    ("META-INF/MANIFEST.MF", "application/java-archive"),
)
_OLE_STREAMS = (
    ("EncryptedPackage", "application/x-ole-encrypted"),
    ("WordDocument", "application/msword"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("HwpSummaryInformation", "application/x-hwp"),
    ("BodyText", "application/x-hwp"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
    ("__nameid_version1.0", "application/vnd.ms-outlook"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
)
_TEXT_NAMES = {
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "mdown": MARKDOWN,
    "mkd": MARKDOWN,
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "jsonl": "application/json",
    "ndjson": "application/json",
    "eml": "message/rfc822",
}

_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\f\x1b") + b"\x7f"
_PDF_WINDOW = 1024
_HTML_ROOT = re.compile(r"<(?:html|head|body)[\s>]", re.IGNORECASE)
_HTML_PART = re.compile(
    r"<(?:title|meta|link|script|style|div|p|h[1-6]|table|ul|ol|section|article|main|span|center|font)[\s>]",
    re.IGNORECASE,
)
_ROOT = re.compile(r"<(?:\w+:)?(\w+)")
_DOCTYPE = re.compile(r"<!doctype\s+([\w:]+)", re.IGNORECASE)
_JSON_TOKENS = re.compile(r'(?:[\s{}\[\],:]+|"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)*')
_MAIL_HEADER = re.compile(r"^([A-Za-z][A-Za-z0-9-]*):[ \t]", re.MULTILINE)
_MAIL_PROOFS = {"received", "message-id", "mime-version", "return-path", "delivered-to", "dkim-signature"}
_MAIL_PARTIES = {"from", "to", "subject", "date"}


def describe(media_type: str) -> str:
    """What people call files of this kind, in the plural, to begin a sentence with: "HWP documents"."""
    name = _NAMES.get(media_type)
    if name:
        return name
    family = media_type.partition("/")[0]
    kinds = {"image": "images", "audio": "audio files", "video": "videos"}
    short = media_type.partition("/")[2].removeprefix("x-").removeprefix("vnd.")
    return f"{short.upper()} {kinds[family]}" if family in kinds else f"Files of type {media_type}"


def detect(head: bytes, size_bytes: int, file_name: str, tail: bytes = b"", members: Sequence[str] = ()) -> str:
    """The media type of a file by its first bytes (a few KiB or more).

    ``tail`` is its last bytes, ``members`` the names inside a zip or OLE container (see `domain.containers`).
    """
    return _by_magic(head, tail, members) or _as_text(head, size_bytes, file_name) or BINARY


def _by_magic(head: bytes, tail: bytes, members: Sequence[str]) -> str | None:
    """Kinds that have a signature."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip_kind(head, members)
    if head.startswith(OLE_MAGIC):
        return _ole_kind(members)
    if _is_pdf(head, tail):
        return PDF
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _iso_kind(head)
    if head.startswith(b"BM") and len(head) >= 26 and head[6:10] == bytes(4):
        return "image/bmp"
    if head.startswith(b"MZ") and b"\0" in head[:64]:
        return "application/vnd.microsoft.portable-executable"
    return next((kind for at, magic, kind in _MAGIC if head[at : at + len(magic)] == magic), None)


def _iso_kind(head: bytes) -> str:
    """HEIC and AVIF images and films share a container."""
    brand = head[8:12]
    if brand in (b"avif", b"avis"):
        return "image/avif"
    return "image/heic" if brand in _HEIF else "video/mp4"


def _is_pdf(head: bytes, tail: bytes) -> bool:
    """The signature at the start, or (as readers allow) a little later if the file is built like a PDF."""
    if head.startswith(b"%PDF-"):
        return True
    return b"%PDF-" in head[:_PDF_WINDOW] and (b"startxref" in tail or re.search(rb"\d \d obj\b", head) is not None)


def _zip_kind(head: bytes, members: Sequence[str]) -> str:
    """The kind of document a zip holds: by its ``mimetype`` member, else by the folders inside."""
    if head[30:38] == b"mimetype":
        size = int.from_bytes(head[18:22], "little") or 80
        start = 38 + int.from_bytes(head[28:30], "little")
        declared = head[start : start + min(size, 80)].partition(b"PK")[0].decode("ascii", "replace").strip()
        kind = declared.removesuffix("-template")
        if kind in _NAMES:
            return kind
    for prefix, kind in _ZIP_PREFIXES:
        if any(name.startswith(prefix) for name in members):
            return kind
    return "application/zip"


def _ole_kind(members: Sequence[str]) -> str:
    """The kind of document an OLE container holds."""
    names = {name.strip("\x01\x02\x03\x05\x06") for name in members}
    return next((kind for stream, kind in _OLE_STREAMS if stream in names), "application/x-ole-storage")


def _text_head(head: bytes, size_bytes: int) -> str | None:
    """The first characters, good enough to see what language they speak; None when the bytes are no text."""
    named = bom_charset(head) or utf16_charset(head)
    if named:
        text = head.decode(named, "replace")
        return text if text.count("\0") * 50 <= len(text) and text.count("\ufffd") * 50 <= len(text) else None
    zeros = head.count(0)
    controls = len(head) - len(head.translate(None, _CONTROLS))
    is_utf8 = is_valid_utf8(head, is_whole=size_bytes <= len(head)) or mostly_utf8(head)
    if is_utf8:
        is_text = controls * 20 <= len(head) and zeros * 200 <= len(head)
    else:
        is_text = not zeros and controls * 50 <= len(head)
    return head.decode("utf-8" if is_utf8 else "latin-1", "replace") if is_text else None


def _as_text(head: bytes, size_bytes: int, file_name: str) -> str | None:
    """Kinds of text; None for binary content."""
    text = _text_head(head, size_bytes)
    if text is None:
        return None
    text = text.lstrip("\ufeff \t\r\n\f")
    suffix = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    named = _TEXT_NAMES.get(suffix)
    kind = _markup_kind(text, is_markdown=named == MARKDOWN) if text.startswith("<") else None
    if text.startswith(("{", "[")) and named != MARKDOWN:
        kind = _json_kind(text, is_whole=size_bytes <= len(head))
    if kind is None and named is None and _is_mail(text):
        kind = "message/rfc822"
    return kind or named or PLAIN


def _markup_kind(text: str, *, is_markdown: bool) -> str | None:
    """HTML, SVG or other XML; fragments of HTML at the start of a Markdown file leave it Markdown."""
    start, doctype = _past_prolog(text[:8192])
    root = _ROOT.match(start)
    name = root[1].lower() if root else doctype
    if text.startswith("<?xml"):
        return {"html": XHTML, "svg": "image/svg+xml"}.get(name, "application/xml")
    if doctype == "html" or _HTML_ROOT.match(start):
        return HTML
    if name == "svg":
        return "image/svg+xml"
    return HTML if not is_markdown and _HTML_PART.match(start) else None


def _past_prolog(text: str) -> tuple[str, str]:
    """The text from its first element on, and the name in its document type ("" without one)."""
    doctype = ""
    while True:
        text = text.lstrip()
        if text.startswith("<!--"):
            text = text.partition("-->")[2]
        elif text.startswith("<?"):
            text = text.partition("?>")[2]
        elif found := _DOCTYPE.match(text):
            doctype = found[1].lower()
            head, _, rest = text.partition(">")
            text = text.partition("]")[2].partition(">")[2] if "[" in head else rest
        else:
            return text, doctype


def _json_kind(text: str, *, is_whole: bool) -> str | None:
    """JSON if it parses, or, where only its head is known, if that is made of JSON's tokens."""
    if is_whole:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            if "\n" not in text or not _is_json_lines(text):
                return None
    else:
        start = text[:4096]
        match = _JSON_TOKENS.match(start)
        rest = start[match.end() :] if match else start
        if rest and not rest.startswith('"') and len(start) - len(rest) < 2048:
            return None
    return "application/x-ipynb+json" if '"nbformat"' in text and '"cells"' in text else "application/json"


def _is_json_lines(text: str) -> bool:
    """True when the first two lines are JSON values each."""
    lines = [line for line in text.split("\n", 8)[:8] if line.strip()][:2]
    try:
        return len(lines) == 2 and all(isinstance(json.loads(line), (dict, list)) for line in lines)
    except (ValueError, RecursionError):
        return False


def _is_mail(text: str) -> bool:
    """True when the text opens with the headers of an e-mail; a memo with From and To alone is none."""
    block = re.split(r"\r?\n\r?\n", text[:16384], maxsplit=1)[0]
    first = block.partition("\n")[0]
    if not _MAIL_HEADER.match(first):
        return False
    names = {name.lower() for name in _MAIL_HEADER.findall(block)}
    return len(names & _MAIL_PARTIES) >= 2 and bool(names & _MAIL_PROOFS)
