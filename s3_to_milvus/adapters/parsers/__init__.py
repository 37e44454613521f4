"""Parsers: a file in, blocks out."""
