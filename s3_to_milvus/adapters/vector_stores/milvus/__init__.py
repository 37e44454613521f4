"""Milvus: the embedded Milvus Lite, a server, or Zilliz, all by `MilvusClient`."""

from s3_to_milvus.adapters.vector_stores.milvus.store import MilvusVectorStore

__all__ = ["MilvusVectorStore"]
