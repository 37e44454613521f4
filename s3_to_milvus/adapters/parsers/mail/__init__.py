"""E-mails: as they were sent (EML), and as Outlook keeps them (MSG)."""

from s3_to_milvus.adapters.parsers.mail.parser import MailParser

__all__ = ["MailParser"]
