"""Brings a ledger file to the newest schema: numbered SQL files, applied in order in one transaction."""

import re
import sqlite3
from collections.abc import Iterator
from importlib import resources

from s3_to_milvus.errors import ConfigError

__all__ = ["migrate", "migrations"]

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_TABLES = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
_RECORDED = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'"


def migrations() -> list[tuple[int, str, str]]:
    """Every migration as (number, name, SQL), ascending."""
    folder = resources.files(__package__) / "migrations"
    found = [(match, file) for file in folder.iterdir() if (match := _NAME.fullmatch(file.name))]
    return sorted((int(match[1]), match[2], file.read_text(encoding="utf-8")) for match, file in found)


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is missing; processes may do it at once. Raises `ConfigError` for a newer or foreign file."""
    known = migrations()
    if _version(connection) == known[-1][0]:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > known[-1][0]:
            raise ConfigError(
                f"The ledger was written by a newer s3-to-milvus (schema {version}, this one knows {known[-1][0]}).",
                hint="Install the newer version again, or choose another folder with S2M_DATA_DIR.",
            )
        if version == 0:
            _start(connection)
        for number, name, script in known:
            if number > version:
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute("INSERT INTO migrations (number, name) VALUES (?, ?)", (number, name))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    if not connection.execute(_RECORDED).fetchone()[0]:
        return 0
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()[0])


def _start(connection: sqlite3.Connection) -> None:
    if connection.execute(_TABLES).fetchone()[0]:
        raise ConfigError(
            "The file is a SQLite database of another program, not a ledger.",
            hint="Choose another folder with S2M_DATA_DIR.",
        )
    connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT")


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
