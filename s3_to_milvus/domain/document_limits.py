"""How large a document may be, and the error where it is larger: each names the setting that allows more."""

from dataclasses import dataclass

from s3_to_milvus.errors import DocumentTooLarge

__all__ = ["DocumentLimits"]

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What one document may hold. Containers are measured by what they declare, before anything is unpacked."""

    pages: int = 5_000
    unpacked_bytes: int = 1_024 * _MIB
    members: int = 20_000
    text_chars: int = 500_000_000

    def check_pages(self, count: int) -> None:
        """Raise `DocumentTooLarge` for more pages than are allowed."""
        if count > self.pages:
            raise DocumentTooLarge(
                f"The document has {count:,} pages; {self.pages:,} are allowed.",
                hint="Split the document, or raise S2M_PARSING__MAX_PAGES, then retry.",
            )

    def check_container(self, size_bytes: int, members: int) -> None:
        """Raise `DocumentTooLarge` for a container that would unpack to too much or has too many members."""
        if size_bytes > self.unpacked_bytes:
            raise DocumentTooLarge(
                f"The file would unpack to {size_bytes // _MIB:,} MiB; {self.unpacked_bytes // _MIB:,} are allowed.",
                hint="Split the document, or raise S2M_PARSING__MAX_UNPACKED_MB, then retry.",
            )
        if members > self.members:
            raise DocumentTooLarge(
                f"The file holds {members:,} parts; {self.members:,} are allowed.",
                hint="Split the document, or raise S2M_PARSING__MAX_MEMBERS, then retry.",
            )

    def check_text(self, chars: int) -> None:
        """Raise `DocumentTooLarge` for more text than is allowed."""
        if chars > self.text_chars:
            raise DocumentTooLarge(
                f"The document has more than {self.text_chars:,} characters of text.",
                hint="Split the document, or raise S2M_PARSING__MAX_TEXT_CHARS, then retry.",
            )
