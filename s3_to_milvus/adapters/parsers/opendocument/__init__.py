"""OpenDocument: texts, spreadsheets, presentations."""

from s3_to_milvus.adapters.parsers.opendocument.parser import OpenDocumentParser

__all__ = ["OpenDocumentParser"]
