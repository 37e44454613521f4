"""Keeps a Milvus vector database exactly equal to what lies in an object store."""
