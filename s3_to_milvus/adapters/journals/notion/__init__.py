"""Notion as the journal: rows of a table that people read, each job exactly once."""

from s3_to_milvus.adapters.journals.notion.client import NotionClient
from s3_to_milvus.adapters.journals.notion.journal import NotionJournal
from s3_to_milvus.adapters.journals.notion.setup import create_database

__all__ = ["NotionClient", "NotionJournal", "create_database"]
