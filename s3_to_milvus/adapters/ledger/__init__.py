"""Ledgers: the durable memory and queue."""
