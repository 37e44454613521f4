"""Which adapters there are: ours by a lazy table, those of other packages by entry points.

A package offers an adapter in the entry point group ``s3_to_milvus.<port>``; the entry point's name is the kind.
Nothing is imported before it is chosen. A plug-in that cannot be used is skipped, and `broken_plugins` names it.
"""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from s3_to_milvus.errors import ConfigError
from s3_to_milvus.settings import (
    ORIGINAL_NAMES,
    AdapterSettings,
    AdaptersSettings,
    Settings,
    TableSettings,
    describe,
    nearest,
)

__all__ = ["GROUP", "PORTS", "broken_plugins", "check", "in_use", "kinds", "load", "options", "section_of", "target"]

GROUP = "s3_to_milvus"
_HERE = "s3_to_milvus.adapters"
_BUILT_IN: dict[str, dict[str, str]] = {
    "object_store": {
        "folder": f"{_HERE}.object_stores.folder:FolderStore",
        "s3": f"{_HERE}.object_stores.s3:S3Store",
    },
    "event_source": {
        "watch": f"{_HERE}.events.watch:FolderWatch",
        "sqs": f"{_HERE}.events.sqs:SqsEvents",
    },
    "parser": {
        "text": f"{_HERE}.parsers.text:TextParser",
        "html": f"{_HERE}.parsers.html:HtmlParser",
        "pdf": f"{_HERE}.parsers.pdf:PdfParser",
        "office": f"{_HERE}.parsers.office:OfficeParser",
        "opendocument": f"{_HERE}.parsers.opendocument:OpenDocumentParser",
        "rtf": f"{_HERE}.parsers.rtf:RtfParser",
        "hwp": f"{_HERE}.parsers.hwp:HwpParser",
        "data": f"{_HERE}.parsers.data:DataParser",
        "book": f"{_HERE}.parsers.book:BookParser",
        "mail": f"{_HERE}.parsers.mail:MailParser",
        "upstage": f"{_HERE}.parsers.upstage:UpstageParser",
        "zip": f"{_HERE}.parsers.archive:ArchiveParser",
        "ocr": f"{_HERE}.parsers.ocr:OcrParser",
    },
    "splitter": {
        "blocks": f"{_HERE}.splitters.blocks:BlocksSplitter",
        "recursive": f"{_HERE}.splitters.recursive:RecursiveSplitter",
    },
    "embedder": {
        "local": f"{_HERE}.embedders.local:LocalEmbedder",
        "openai": f"{_HERE}.embedders.openai:OpenAIEmbedder",
        "hash": "s3_to_milvus.testing.hash_embedder:HashEmbedder",
    },
    "vector_store": {"milvus": f"{_HERE}.vector_stores.milvus:MilvusVectorStore"},
    "ledger": {"sqlite": f"{_HERE}.ledger.sqlite:SqliteLedger"},
    "journal": {
        "apprise": f"{_HERE}.journals.apprise:AppriseJournal",
        "log": f"{_HERE}.journals.log:LogJournal",
        "notion": f"{_HERE}.journals.notion:NotionJournal",
        "slack": f"{_HERE}.journals.slack:SlackJournal",
        "webhook": f"{_HERE}.journals.webhook:WebhookJournal",
    },
}
PORTS = tuple(_BUILT_IN)
_SECTIONS = {"object_store": "store", "event_source": "events"}


class _NoOptions(BaseModel):
    """For adapters that have none."""

    model_config = ConfigDict(extra="forbid")


def section_of(port: str) -> str:
    """The settings' section of a port: ``store`` for ``object_store``."""
    return _SECTIONS.get(port, port)


def kinds(port: str) -> list[str]:
    """Every kind there is for a port: ours first, then those of plug-ins (which may still turn out to be broken)."""
    ours = _BUILT_IN[port]
    return [*ours, *sorted({plugin.name for plugin in _plugins(port)} - set(ours))]


def target(port: str, kind: str) -> str:
    """Where an adapter's class is, as ``module:Class``. Imports nothing. Raises `ConfigError` for an unknown kind."""
    if found := _BUILT_IN[port].get(kind):
        return found
    plugin = next((plugin for plugin in _plugins(port) if plugin.name == kind), None)
    if plugin is None:
        raise ConfigError(f"{section_of(port)}.kind = {kind!r}: unknown; {nearest(kind, kinds(port))}")
    return plugin.value


def load(port: str, kind: str) -> type[Any]:
    """The class of an adapter. Raises `ConfigError` for an unknown kind and for one that cannot be imported."""
    where = target(port, kind)
    if kind in _BUILT_IN[port]:
        return _imported(where)
    try:
        return _imported(where)
    except Exception as exc:
        raise ConfigError(
            f"{section_of(port)}.kind = {kind!r}: the plug-in {where} cannot be used: {_reason(exc)}",
            hint="Install what it asks for, update it, or choose another kind.",
        ) from exc


def options(settings: Settings, port: str, kind: str) -> Any:
    """The options of an adapter, checked by its own ``Options``. Raises `ConfigError` that names every wrong one."""
    section = section_of(port)
    table: TableSettings = getattr(settings, section)
    model: type[BaseModel] = getattr(load(port, kind), "Options", _NoOptions)
    try:
        return model.model_validate(table.options(kind))
    except ValidationError as exc:
        lines = describe(exc.errors(), model, settings.places_of, f"{section}.{kind}")
        raise ConfigError("\n".join([f"The options of {kind} are wrong:", *(f"- {line}" for line in lines)])) from None


def in_use(settings: Settings) -> list[tuple[str, str]]:
    """Every (port, kind) that the settings choose, the object stores left out: the address of a source chooses them."""
    named = [(port, kind) for port in PORTS for kind in _chosen(getattr(settings, section_of(port)))]
    return list(dict.fromkeys([*named, *(("parser", kind) for route in settings.routes for kind in route.parsers)]))


def check(settings: Settings) -> None:
    """Raise `ConfigError` for kinds and tables of options that no adapter has. Imports no adapter."""
    lines = [f"- {line}" for line in (*_unknown_kinds(settings), *_unknown_tables(settings))]
    if lines:
        raise ConfigError("\n".join(["The settings name adapters that are not there:", *lines]))


def broken_plugins() -> dict[str, str]:
    """Plug-ins that cannot be used, by ``port.kind``, with the reason. Imports every plug-in."""
    broken: dict[str, str] = {}
    for port in PORTS:
        for plugin in _plugins(port):
            name = f"{port}.{plugin.name}"
            if plugin.name in _BUILT_IN[port]:
                broken[name] = f"{plugin.value}: the name is taken by a built-in adapter"
                continue
            try:
                _imported(plugin.value)
            except Exception as exc:  # noqa: BLE001 - as in `load`
                broken[name] = f"{plugin.value}: {_reason(exc)}"
    return broken


def _plugins(port: str) -> list[EntryPoint]:
    return sorted(entry_points(group=f"{GROUP}.{port}"), key=lambda plugin: (plugin.name, plugin.value))


def _imported(where: str) -> type[Any]:
    """The class that stands at ``module:Class``."""
    found = EntryPoint(name="", value=where, group=GROUP).load()
    if not isinstance(found, type):
        raise TypeError(f"{where} is no class")
    return found


def _reason(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


def _chosen(section: TableSettings) -> tuple[str, ...]:
    if isinstance(section, AdaptersSettings):
        return section.kind
    return (section.kind,) if isinstance(section, AdapterSettings) else ()


def _unknown_kinds(settings: Settings) -> Iterator[str]:
    for port, kind in in_use(settings):
        if kind in _BUILT_IN[port]:  # looking for plug-ins reads the metadata of every package: 5 ms each time
            continue
        if kind not in (known := kinds(port)):
            name = f"{section_of(port)}.kind"
            yield f"{name} = {kind!r} ({_where(settings, name)}): unknown; {nearest(kind, known)}"


def _unknown_tables(settings: Settings) -> Iterator[str]:
    expected = {name.rpartition(".")[0] for name in ORIGINAL_NAMES.values()}
    for port in PORTS:
        section = section_of(port)
        for table in getattr(settings, section).tables:
            name = f"{section}.{table}"
            if table in _BUILT_IN[port] or name in expected:
                continue
            if table not in (known := kinds(port)):
                yield f"{name} ({_where(settings, name)}): unknown; {nearest(table, known)}"


def _where(settings: Settings, name: str) -> str:
    return next(iter(settings.places_of(name)), "set in the program")
