"""The ledger in one SQLite file: durable, transactional, for one host."""

from s3_to_milvus.adapters.ledger.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]
