"""Reads the settings and finds who answers a command."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3_to_milvus.cli.desk import Desk

if TYPE_CHECKING:
    from s3_to_milvus.settings import Settings

__all__ = ["load_settings", "open_desk", "sources_of"]


def load_settings(**arguments: object) -> "Settings":
    """The settings, with arguments of the command line (None: not given) before everything else."""
    from s3_to_milvus.settings import load

    return load(arguments)


def sources_of(given: Sequence[str], settings: "Settings") -> list[str]:
    """Those that a command names, else those that the settings name; maybe none."""
    from s3_to_milvus.bootstrap.sources import named_in

    return list(given) or named_in(settings.source)


@contextmanager
def open_desk(sources: Sequence[str] = ()) -> Iterator[Desk]:
    """The service where one owns the data folder, else the engine here. Raises `DataInUse` when a command does."""
    from s3_to_milvus.bootstrap import owner_of

    settings = load_settings()
    owner = owner_of(settings.data_dir)
    desk: Desk
    if owner is not None and owner.url:
        from s3_to_milvus.cli.remote import Remote

        desk = Remote(owner.url, owner.pid, settings.data_dir)
    else:
        from s3_to_milvus.cli.direct import Direct

        desk = Direct(settings, sources)
    try:
        yield desk
    finally:
        desk.close()
