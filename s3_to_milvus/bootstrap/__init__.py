"""The composition root: the only place where ports meet adapters."""

from s3_to_milvus.bootstrap.application import Application, build
from s3_to_milvus.bootstrap.connecting import Connection, connect, make_notion_database, plan_of
from s3_to_milvus.bootstrap.datalock import Owner, owner_of
from s3_to_milvus.bootstrap.doctor import Finding, doctor
from s3_to_milvus.bootstrap.events import decode_event
from s3_to_milvus.bootstrap.logs import configure_logging
from s3_to_milvus.bootstrap.restoring import Restored, restore

__all__ = [
    "Application",
    "Connection",
    "Finding",
    "Owner",
    "Restored",
    "build",
    "configure_logging",
    "connect",
    "decode_event",
    "doctor",
    "make_notion_database",
    "owner_of",
    "plan_of",
    "restore",
]
