"""Splitters: a document in, chunks out."""
