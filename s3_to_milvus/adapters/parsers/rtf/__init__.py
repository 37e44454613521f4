"""Rich Text Format."""

from s3_to_milvus.adapters.parsers.rtf.parser import RtfParser

__all__ = ["RtfParser"]
