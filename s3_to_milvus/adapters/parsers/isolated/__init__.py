"""Parsers in child processes: a hang, a crash or a memory bomb costs one document, never the service."""

from s3_to_milvus.adapters.parsers.isolated.pool import ParsingPool

__all__ = ["ParsingPool"]
