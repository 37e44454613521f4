"""Write the reference pages made from code: errors, formats, settings. ``--check`` only says whether they are true."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from s3_to_milvus import errors, registry
from s3_to_milvus.domain.formats import Format
from s3_to_milvus.settings import ORIGINAL_NAMES, Settings, as_variable

__all__ = ["PAGES", "errors_page", "formats_page", "main", "settings_page"]

HERE = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Made by docs/generate.py from the code. Change the code, then run `make fix`. -->"


def errors_page() -> str:
    """Every failure with its code, in the order of the module."""
    lines = [
        "# Errors",
        "",
        NOTE,
        "",
        "Each failure has a code that never changes. Commands print it, the log carries it as `error_code`,",
        "and the HTTP interface answers with it.",
        "",
        "| code | name | what happened | what to do |",
        "| --- | --- | --- | --- |",
    ]
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.S3ToMilvusError) and "code" in vars(value):
            lines.append(f"| `{value.code}` | {name} | {_summary(value)} | {_cell(value.default_hint)} |")
    return "\n".join([*lines, ""])


def settings_page() -> str:
    """Every setting with its variable and default, then the options of every adapter of ours."""
    lines = [
        "# Settings",
        "",
        NOTE,
        "",
        "The first place that has a value wins: arguments, environment, `.env`, the original names (below),",
        "`s3-to-milvus.toml`, the default. `s3-to-milvus config` prints every value and where it came from.",
        "Lists and tables in variables are written as JSON.",
        "",
        *_table(_rows(Settings)),
        "",
        "## Options of the adapters",
        "",
        "Options stand in a table named after the adapter, and count only while that adapter is in use.",
    ]
    for port in registry.PORTS:
        for kind in registry.kinds(port):
            lines += _options_of(port, kind)
    lines += ["", "## The original names", "", "None of them chooses an adapter; that is done by `kind` alone.", ""]
    lines += ["| variable | sets |", "| --- | --- |"]
    lines += [f"| `{variable}` | `{name}` |" for variable, name in ORIGINAL_NAMES.items()]
    return "\n".join([*lines, ""])


def formats_page() -> str:
    """Every kind of file that a parser of ours reads, as the parsers declare it."""
    lines = [
        "# Formats",
        "",
        NOTE,
        "",
        "The kind of a file is found out by its content, never by its name. The first parser that reads",
        "a kind is used. *OCR*: the text is read from pictures. For all: sizes, pages, members, unpacked size, text,",
        "time and memory have limits that are [settings](settings.md) (`parsing.…`, `engine.max_object_mb`).",
        "",
        "| format | usual names | parser | tables | headings | pages | OCR | limits |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    parsers = {kind: registry.load("parser", kind) for kind in registry.kinds("parser")}
    by_picture = frozenset(kind for each in parsers.values() for kind in each.page_media_types)
    for kind, parser in parsers.items():
        lines += [_format_line(kind, each, by_picture) for each in parser.formats]
    return "\n".join([*lines, ""])


def _format_line(parser: str, each: Format, by_picture: frozenset[str]) -> str:
    marks = (each.has_tables, each.has_headings, each.has_pages, each.is_ocr)
    flags = ["yes" if mark else "" for mark in marks]
    if each.media_type in by_picture and not each.is_ocr:
        flags[-1] = "pages without text"
    names = ", ".join(f".{name}" for name in each.extensions)
    return f"| {each.name} | {names} | `{parser}` | {' | '.join(flags)} | {_cell(each.limits)} |"


def _table(rows: Iterator[tuple[str, str, str]]) -> list[str]:
    lines = ["| setting | variable | default | meaning |", "| --- | --- | --- | --- |"]
    return lines + [f"| `{name}` | `{as_variable(name)}` | {default} | {text} |" for name, default, text in rows]


def _rows(model: type[BaseModel], above: str = "", chosen: BaseModel | None = None) -> Iterator[tuple[str, str, str]]:
    """(name, default, meaning) of every field; ``chosen`` holds the defaults where a section has its own."""
    for key, field in model.model_fields.items():
        default = field.default if chosen is None else getattr(chosen, key)
        if isinstance(default, BaseModel):
            if type(default).model_fields:
                yield from _rows(type(default), f"{above}{key}.", default)
        else:
            yield f"{above}{key}", _default(field, default, chosen), _described(f"{above}{key}", field)


def _options_of(port: str, kind: str) -> list[str]:
    options: type[BaseModel] | None = getattr(registry.load(port, kind), "Options", None)
    if options is None or not options.model_fields:
        return []
    name = f"{registry.section_of(port)}.{kind}"
    return ["", f"### `[{name}]`", "", _summary(options), "", *_table(_rows(options, f"{name}."))]


def _default(field: FieldInfo, default: Any, chosen: BaseModel | None) -> str:
    if chosen is None and field.default_factory is not None:
        return "see meaning"
    if chosen is None and field.is_required():
        return "must be set"
    plain = default if isinstance(default, str | int | float | bool | dict | list | tuple | None) else str(default)
    if plain is None or plain in ("", (), []):
        return "none"
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


def _described(name: str, field: FieldInfo) -> str:
    if not field.description and name.split(".")[0] not in map(registry.section_of, registry.PORTS):
        raise SystemExit(f"{name} has no description: write one below the field, or in Field(description=...)")
    return _cell(field.description or "")


def _summary(value: type) -> str:
    return _cell((value.__doc__ or "").strip().split("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")


PAGES = {"errors.md": errors_page, "formats.md": formats_page, "settings.md": settings_page}


def main(arguments: list[str]) -> int:
    """Write the pages; with ``--check`` write nothing and return 1 where a page is not what the code says."""
    wrong = []
    for name, page in PAGES.items():
        file, text = HERE / name, page()
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            wrong.append(name)
    if wrong:
        print(f"docs/reference: {', '.join(wrong)} not as the code says; run `make fix`")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
