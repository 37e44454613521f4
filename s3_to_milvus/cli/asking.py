"""`search`, `status`, `show`, `retry`, `check`: questions, and putting right what they show."""

from collections.abc import Sequence

import click

from s3_to_milvus.cli.codes import PERMANENT, RETRYABLE, USAGE
from s3_to_milvus.cli.desk import Answer, Checked, Desk
from s3_to_milvus.cli.opening import open_desk
from s3_to_milvus.cli.output import costs, json_option, note, print_json, print_table, shown, size_of, time_of
from s3_to_milvus.cli.progress import progress
from s3_to_milvus.errors import ConfigError

__all__ = ["check", "retry", "search", "show", "status"]

_STATUS_KEYS = ("objects", "collections", "freshness_seconds")
_TEXT_CHARS = 400
_CHUNKS = 3


@click.command()
@click.argument("query")
@click.option("--top", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many hits.")
@click.option("--collection", help="Only this folder, as `status` shows it.")
@json_option
def search(query: str, top: int, collection: str | None, as_json: bool) -> None:
    """Find the pieces of text nearest to QUERY."""
    with open_desk() as desk:
        answer = desk.search(query, top, collection)
    if as_json:
        print_json(answer)
        return
    for number, hit in enumerate(answer["hits"], 1):
        page = f", page {hit['page']}" if hit["page"] else ""
        heading = f" · {shown(' > '.join(hit['heading']))}" if hit["heading"] else ""
        click.echo(f"{number}. {shown(hit['bucket'] + '/' + hit['key'])}{page}{heading}")
        click.echo(_indented(hit["text"]) + "\n")
    if not answer["hits"]:
        note("Nothing was found.")


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show how much is indexed, what waits, what failed."""
    with open_desk() as desk:
        answer = desk.status()
    _warn(answer)
    if as_json:
        print_json({name: answer[name] for name in _STATUS_KEYS})
        return
    click.echo(", ".join(f"{count:,} {state}" for state, count in answer["objects"].items()))
    fresh = answer["freshness_seconds"]
    if fresh["p50"] is not None:
        click.echo(f"searchable after {fresh['p50']:.2f} s (median), {fresh['p95']:.2f} s (95 %)")
    for source in answer["sources"]:
        scanned = f", compared {time_of(source['last_scan_at'])}" if source["last_scan_at"] else ""
        click.echo(f"source {shown(source['uri'])}{scanned}")
    if answer["collections"]:
        columns = ("folder", "objects", "entities", "name", "embedder", "dim")
        rows = [["?" if line[each] is None else line[each] for each in columns] for line in answer["collections"]]
        click.echo()
        print_table(columns, rows, numbers=(1, 2, 5))


@click.command()
@click.argument("key")
@json_option
@click.pass_context
def show(ctx: click.Context, key: str, as_json: bool) -> None:
    """Show one document: what is indexed of it, every attempt, its text.

    KEY is as lists show it (with or without the bucket), a path below a mirrored folder, or an object's id. JSON: one
    object, or a list where several buckets hold the key.
    """
    with open_desk() as desk:
        found = _find(desk, key)
    if not found:
        _unknown(key)
        ctx.exit(USAGE)
    if as_json:
        print_json(found[0] if len(found) == 1 else found)
        return
    for each in found:
        _print_object(each)


@click.command()
@click.argument("keys", metavar="[KEY…]", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Everything that failed.")
@json_option
@click.pass_context
def retry(ctx: click.Context, keys: Sequence[str], is_all: bool, as_json: bool) -> None:
    """Try failed documents again now."""
    if bool(keys) is is_all:
        raise click.UsageError("Give either KEYs or --all.")
    with open_desk() as desk:
        ids = None if is_all else _ids(desk, keys)
        with progress("retry") as tell:
            count = desk.retry(ids, tell)
        states = [] if ids is None else [found for each in ids for found in desk.find(each)]
        left = desk.status()["objects"] if ids is None and not desk.is_remote else None
    if as_json:
        print_json({"retried": count})
    else:
        click.echo(f"{count:,} tried again")
    for each in states:
        reason = f": {shown(each['error'])}" if each["error"] else ""
        note(f"  {shown(each['bucket'] + '/' + each['key'])}: {each['state']}{reason}")
    if left is None and ids is None and count:
        note("The service tries them in its own time; `status` shows how far it is.")
    ctx.exit(_code_after(states, left))


@click.command()
@click.option("--repair", is_flag=True, help="Put right what differs.")
@json_option
@click.pass_context
def check(ctx: click.Context, repair: bool, as_json: bool) -> None:
    """Compare bucket, ledger and the rows really in Milvus."""
    with open_desk() as desk, progress("check") as tell:
        checked = desk.check(is_repairing=repair, on_progress=tell)
    report = checked.report
    if as_json:
        print_json(report)
    else:
        _print_check(checked)
    if repair and checked.repaired:
        note(f"{checked.repaired:,} differences were repaired.")
    elif not report["ok"]:
        note("hint: `check --repair` puts this right.")
    if not report["ok"]:
        ctx.exit(RETRYABLE)


def _find(desk: Desk, key: str) -> list[Answer]:
    """By key; a path that exists on this machine is also looked up below the folders that are mirrored."""
    from pathlib import Path

    found = desk.find(key)
    if found or not Path(key).exists():
        return found
    path = Path(key).resolve()
    for source in desk.status()["sources"]:
        if "://" not in source["uri"] and path.is_relative_to(source["uri"]):
            found += desk.find(f"{source['name']}/{path.relative_to(source['uri']).as_posix()}")
    return found


def _ids(desk: Desk, keys: Sequence[str]) -> list[str]:
    """The ids of all keys. Raises `ConfigError` for a key that nobody knows."""
    ids: list[str] = []
    for key in keys:
        found = _find(desk, key)
        if not found:
            raise ConfigError(f"No object has the key {shown(key)!r}.", hint="`status` and `show` know what is there.")
        ids += [each["id"] for each in found]
    return ids


def _code_after(states: Sequence[Answer], left: Answer | None) -> int:
    failed = left["failed"] if left else sum(each["state"] == "failed" for each in states)
    waiting = left["waiting"] if left else sum(each["state"] in ("waiting", "running") for each in states)
    return RETRYABLE if waiting else PERMANENT if failed else 0


def _unknown(key: str) -> None:
    note(f"error: No object has the key {shown(key)!r}.")
    note("hint: Give it as search results show it; `status` lists the sources.")


def _warn(answer: Answer) -> None:
    if answer["held"]:
        note(f"held: {answer['held']['message']}")
        note(f"hint: {answer['held']['hint']}")
    for warning in answer["warnings"]:
        note(f"warning: {shown(warning)}")


def _print_object(found: Answer) -> None:
    click.echo(shown(f"{found['bucket']}/{found['key']}"))
    click.echo(f"  state     {found['state']}")
    if found["error"]:
        click.echo(f"  reason    {shown(found['error'])} [{found['error_code']}]")
    record = found["record"]
    if record:
        click.echo(f"  content   {record['media_type'] or 'unknown'}, {size_of(record['size_bytes'])}")
        click.echo(f"  indexed   {time_of(found['indexed_at'])}, {found['chunk_count']:,} chunks")
        click.echo(f"  rows      {record['rows']:,} in {record['collection'] or 'no collection'}")
    click.echo(f"  id        {found['id']}")
    for run in found["timeline"][:10]:
        reason = f": {shown(run['error'])}" if run["error"] else ""
        paid = f" ({costs(run)})" if costs(run) else ""
        click.echo(f"  {time_of(run['started_at'])}  {run['action']} {run['outcome']}{paid}{reason}")
    for chunk in found["chunks"][:_CHUNKS]:
        click.echo(_indented(chunk["text"]) + "\n")
    if len(found["chunks"]) > _CHUNKS:
        click.echo(f"  … {len(found['chunks']) - _CHUNKS:,} more chunks (`--json` shows all)")


def _print_check(checked: Checked) -> None:
    report = checked.report
    for kind in ("missing", "stale"):
        for line in report[kind]:
            click.echo(f"{kind}: {shown(line['bucket'] + '/' + line['key'])}: {line['reason']}")
    for line in report["orphaned"]:
        name = f"{line['bucket']}/{line['key']}" if line["key"] is not None else line["object_id"]
        click.echo(f"orphaned: {line['rows']:,} rows of {shown(name)} in {line['collection']}")
    click.echo("in sync" if report["ok"] else "not in sync")


def _indented(text: str) -> str:
    short = text if len(text) <= _TEXT_CHARS else text[:_TEXT_CHARS].rstrip() + " …"
    return "\n".join(f"   {shown(line)}" for line in short.splitlines())
