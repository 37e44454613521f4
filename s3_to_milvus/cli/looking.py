"""`doctor` and `config`: what works here, and what is set."""

from typing import TYPE_CHECKING

import click

from s3_to_milvus.cli.codes import FATAL
from s3_to_milvus.cli.opening import load_settings
from s3_to_milvus.cli.output import json_option, note, print_json, print_table, shown
from s3_to_milvus.errors import S3ToMilvusError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from s3_to_milvus.settings import Settings

__all__ = ["config", "doctor"]


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Try everything the settings name, with harmless calls."""
    from s3_to_milvus.bootstrap import configure_logging
    from s3_to_milvus.bootstrap import doctor as examine

    settings = load_settings()
    configure_logging(settings.log.model_copy(update={"level": "error"}))
    findings = examine(settings)
    is_ok = all(each.is_ok or each.is_optional for each in findings)
    if as_json:
        lines = [
            {
                "name": each.name,
                "ok": each.is_ok,
                "message": each.message,
                "hint": each.hint,
                "optional": each.is_optional,
            }
            for each in findings
        ]
        print_json({"ok": is_ok, "findings": lines})
    else:
        for each in findings:
            mark = "ok  " if each.is_ok else "--  " if each.is_optional else "BAD "
            click.echo(f"{mark}{each.name}: {_in_lines(each.message)}")
            if each.hint and not each.is_ok:
                click.echo(f"    hint: {shown(each.hint)}")
    if not is_ok:
        ctx.exit(FATAL)


@click.command()
@json_option
def config(as_json: bool) -> None:
    """Print every setting and where it came from.

    Secrets are hidden.
    """
    from s3_to_milvus.settings import explain

    settings = load_settings()
    lines = explain(settings, _options(settings))
    if as_json:
        print_json([{"name": each.name, "value": each.value, "source": each.source} for each in lines])
        return
    print_table(("setting", "value", "from"), [(each.name, _said(each.value), each.source) for each in lines])


def _options(settings: "Settings") -> "dict[str, BaseModel]":
    """The options of every adapter in use; those of one that can't be used are named and left out."""
    from s3_to_milvus import registry

    found = {}
    for port, kind in registry.in_use(settings):
        try:
            found[f"{registry.section_of(port)}.{kind}"] = registry.options(settings, port, kind)
        except S3ToMilvusError as error:
            note(f"warning: {shown(error.message)}")
    return found


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return "" if value is None else str(value)


def _in_lines(text: str) -> str:
    """A finding of several lines, each of them made safe to show."""
    return "\n    ".join(map(shown, text.splitlines()))
