"""multilingual-e5-small on this machine, from weights that ship in a package: nothing is downloaded."""

from s3_to_milvus.adapters.embedders.local.embedder import LocalEmbedder

__all__ = ["LocalEmbedder"]
