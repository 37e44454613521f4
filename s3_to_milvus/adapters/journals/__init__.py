"""Logs that people read."""
