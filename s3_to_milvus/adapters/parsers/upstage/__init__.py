"""Upstage Document Parse: documents and scans, read by a service in the cloud."""

from s3_to_milvus.adapters.parsers.upstage.cutting import UpstageCutter
from s3_to_milvus.adapters.parsers.upstage.parser import UpstageParser

__all__ = ["UpstageCutter", "UpstageParser"]
