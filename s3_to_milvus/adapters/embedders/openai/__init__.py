"""Embeddings by the API of OpenAI, and of every server that speaks it."""

from s3_to_milvus.adapters.embedders.openai.embedder import OpenAIEmbedder

__all__ = ["OpenAIEmbedder"]
