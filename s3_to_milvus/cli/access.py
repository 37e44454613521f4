"""`keys` and `quarantine`: who may use the service, and events that nobody understood."""

from collections.abc import Sequence

import click

from s3_to_milvus.cli.codes import USAGE
from s3_to_milvus.cli.opening import open_desk
from s3_to_milvus.cli.output import json_option, note, print_json, print_table, shown, time_of

__all__ = ["keys", "quarantine"]

_ROLES = ("events", "viewer", "operator", "admin")
_BODY_CHARS = 300


@click.group()
def keys() -> None:
    """Make, list and drop the API keys that a service asks for.

    Roles, each with what those before it may: events (tell about changes), viewer (search and read), operator (sync,
    retry, check), admin (everything).
    """


@keys.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), default="viewer", show_default=True)
@json_option
def add(name: str, role: str, as_json: bool) -> None:
    """Make a key, in place of another one of its name. It is shown this once."""
    with open_desk() as desk:
        made = desk.add_key(name, role)
    if as_json:
        print_json(made)
    else:
        note(f"The key of {shown(name)} ({role}); it is not shown again:")
        click.echo(made["key"])


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """Names and roles."""
    with open_desk() as desk:
        found = desk.keys()
    if as_json:
        print_json(found)
    elif found:
        rows = [(each["name"], each["role"], time_of(each["created_at"])) for each in found]
        print_table(("name", "role", "made"), rows)
    else:
        note("There are no keys.")


@keys.command("drop")
@click.argument("name")
@click.pass_context
def drop(ctx: click.Context, name: str) -> None:
    """Forget a key; its holder is refused from now on."""
    with open_desk() as desk:
        is_dropped = desk.drop_key(name)
    if not is_dropped:
        note(f"error: There is no key {shown(name)}.")
        ctx.exit(USAGE)


@click.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--replay", is_flag=True, help="Understand them once more, for instance after an update.")
@click.option("--drop", "is_dropping", is_flag=True, help="Forget them.")
@json_option
def quarantine(ids: Sequence[int], replay: bool, is_dropping: bool, as_json: bool) -> None:
    """Show events that nobody understood; replay or drop them (all, or those with the IDS)."""
    if replay and is_dropping:
        raise click.UsageError("--replay and --drop exclude each other.")
    chosen = list(ids) or None
    with open_desk() as desk:
        done = desk.replay(chosen) if replay else desk.drop_quarantined(chosen) if is_dropping else None
        found = [] if done is not None else desk.quarantined()
    if done is not None:
        what = "" if is_dropping else f"{done['taken']} understood, "
        print_json(done) if as_json else note(f"{what}{done['left']} left.")
        return
    found = [each for each in found if not ids or each["id"] in ids]
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(f"{each['id']}  {time_of(each['received_at'])}  by {each['source']}: {shown(each['reason'])}")
        click.echo(f"    {shown(each['body'][:_BODY_CHARS])}")
    if not found:
        note("Nothing is in quarantine.")
