"""`sync`: bring sources in line with Milvus."""

import sys
from collections.abc import Sequence

import click

from s3_to_milvus.cli.codes import code_of_failures
from s3_to_milvus.cli.desk import Answer, Desk, Synced
from s3_to_milvus.cli.opening import load_settings, open_desk, sources_of
from s3_to_milvus.cli.output import costs, json_option, note, print_json, shown
from s3_to_milvus.cli.progress import progress
from s3_to_milvus.errors import RemovalGuard

__all__ = ["is_asked_at_terminal", "sync"]

_SIGNS = {"add": "+", "change": "~", "remove": "-"}
_LISTED = 10


@click.command()
@click.argument("sources", metavar="SOURCE…", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@click.option("--watch", is_flag=True, help="Go on following changes until stopped.")
@click.option("--yes", is_flag=True, help="Remove without asking, however many objects are gone.")
@json_option
@click.pass_context
def sync(ctx: click.Context, sources: Sequence[str], dry_run: bool, watch: bool, yes: bool, as_json: bool) -> None:
    """Make Milvus equal to a folder or an s3://bucket/prefix, now.

    Without SOURCE, the sources of the settings. JSON: one object for one source, a list for several.
    """
    if dry_run and watch:
        raise click.UsageError("--dry-run and --watch exclude each other.")
    chosen = sources_of(sources, load_settings())
    if not chosen:
        raise click.UsageError("Name a SOURCE: a folder, or s3://bucket/prefix (or set S2M_SOURCE).")
    done: list[Synced] = []
    with open_desk(chosen if watch else ()) as desk:
        if watch:
            _watch(desk)
        try:
            for source in chosen:
                done.append(_sync(desk, source, is_dry_run=dry_run, is_confirmed=yes))
                if not as_json:
                    _print(done[-1], is_dry_run=dry_run)
        finally:
            if as_json and done:
                reports = [each.report for each in done]
                print_json(reports[0] if len(chosen) == 1 else reports)
        if watch:
            _stay(desk)
    if not dry_run:
        failed = sum(each.report["failed"] for each in done)
        ctx.exit(code_of_failures(failed, sum(each.retrying for each in done)))


def _sync(desk: Desk, source: str, *, is_dry_run: bool, is_confirmed: bool) -> Synced:
    """One source; where very much would be removed, a person at a terminal is asked."""
    try:
        with progress(source) as tell:
            return desk.sync(source, is_dry_run=is_dry_run, is_confirmed=is_confirmed, on_progress=tell)
    except RemovalGuard as guard:
        if not is_asked_at_terminal():
            raise
        note(guard.message)
        _show_removals(desk, source)
        if not _is_meant(guard):
            raise
    with progress(source) as tell:
        return desk.sync(source, is_dry_run=False, is_confirmed=True, on_progress=tell)


def _is_meant(guard: RemovalGuard) -> bool:
    """What a person says; no answer is a no."""
    try:
        return click.confirm(f"Remove {guard.removals:,} objects from Milvus?", default=False, err=True)
    except click.Abort:
        note("")
        return False


def is_asked_at_terminal() -> bool:
    """True when a person can be asked and can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _show_removals(desk: Desk, source: str) -> None:
    plan = desk.sync(source, is_dry_run=True, is_confirmed=False, on_progress=lambda step: None).report["plan"]
    gone = [line for line in plan if line["action"] == "remove"]
    for line in gone[:_LISTED]:
        note(f"  - {_name(line)}")
    if len(gone) > _LISTED:
        note(f"  … and {len(gone) - _LISTED:,} more (`sync --dry-run` shows all)")


def _watch(desk: Desk) -> None:
    if desk.is_remote:
        note("The service that owns the data follows changes already; this command only syncs.")
        return
    from s3_to_milvus.cli.direct import Direct

    assert isinstance(desk, Direct)
    desk.watch()


def _stay(desk: Desk) -> None:
    if desk.is_remote:
        return
    from s3_to_milvus.cli.direct import Direct

    assert isinstance(desk, Direct)
    note("Following changes; Ctrl-C stops.")
    try:
        desk.wait()
    except KeyboardInterrupt:
        note("Stopped.")


def _print(synced: Synced, *, is_dry_run: bool) -> None:
    report = synced.report
    for line in report.get("plan", ()):
        click.echo(f"{_SIGNS[line['action']]} {_name(line)}")
    states = ("added", "changed", "removed", "unchanged", "failed", "empty")
    numbers = ", ".join(f"{report[state]:,} {state}" for state in states)
    made = "nothing was written" if is_dry_run else f"{report['chunks']:,} chunks, {report['embedded']:,} embedded"
    paid = f"; {costs(report)}" if costs(report) else ""
    click.echo(f"{shown(report['source'])}: {numbers}; {made}{paid}; {report['seconds']:.1f} s")
    if not is_dry_run:
        _print_failures(synced)


def _print_failures(synced: Synced) -> None:
    for line in synced.failures:
        note(f"  ! {_name(line)}: {shown(line['error'])} [{line['error_code']}]")
    rest = synced.report["failed"] - len(synced.failures)
    if synced.failures and rest > 0:
        note(f"  … and {rest:,} more")
    if synced.retrying:
        note(f"  {synced.retrying:,} of them are tried again by a running service, or by the next sync.")


def _name(line: Answer) -> str:
    return shown(f"{line['bucket']}/{line['key']}")
