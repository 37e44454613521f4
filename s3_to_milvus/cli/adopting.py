"""`adopt`: take collections of the original system over."""

from collections import Counter
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

import click

from s3_to_milvus.cli.codes import code_of_failures
from s3_to_milvus.cli.desk import Answer
from s3_to_milvus.cli.opening import load_settings, sources_of
from s3_to_milvus.cli.output import counted, json_option, note, print_json, shown
from s3_to_milvus.cli.progress import progress

if TYPE_CHECKING:
    from s3_to_milvus.cli.direct import Direct

__all__ = ["adopt"]

_LISTED = 20
_DATES = {
    "modified": "those of the objects (modified)",
    "indexed": "the times of indexing (indexed)",
    "ignored": "nothing (ignored)",
}
_WHY = {
    "stale": "written before the object was",
    "unsure": "the rows don't tell of which version they are",
    "ambiguous": "several objects have this name",
    "orphan": "no such object",
}


def _zone(ctx: click.Context, param: click.Parameter, value: str | None) -> tzinfo | None:
    if value is None:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError) as exc:
        raise click.BadParameter(f"{value!r} is no time zone; an example: Asia/Seoul", ctx, param) from exc


@click.command()
@click.argument("sources", metavar="SOURCE…", nargs=-1)
@click.option("--collection", "names", multiple=True, required=True, help="Which one; may be given several times.")
@click.option("--apply", "is_applied", is_flag=True, help="Do it.")
@click.option("--timezone", "zone", callback=_zone, help="Of file dates that name none, such as Asia/Seoul.")
@click.option(
    "--dates",
    type=click.Choice(["modified", "indexed", "ignored"]),
    help="Of the object, or of its indexing; else they tell. ignored: a file's newest rows are right.",
)
@click.option("--accept-failures", is_flag=True, help="Switch although some objects can't be read.")
@click.option("--drop-original", is_flag=True, help="Drop what is left of the original, once it was taken over.")
@json_option
@click.pass_context
def adopt(
    ctx: click.Context,
    sources: Sequence[str],
    names: Sequence[str],
    is_applied: bool,
    zone: tzinfo | None,
    dates: str | None,
    accept_failures: bool,
    drop_original: bool,
    as_json: bool,
) -> None:
    """Take over collections that the original system made, without embedding again what is right.

    Says what would be done; --apply does it: rows that match an object of SOURCE (or of the settings) are copied with
    their vectors, the other objects are read anew, then the new collection answers under the old name. The service
    must not run meanwhile.
    """
    from s3_to_milvus.cli.direct import Direct

    settings = load_settings()
    chosen = sources_of(sources, settings)
    if not chosen and not drop_original:
        raise click.UsageError("Name a SOURCE: s3://bucket (or set S2M_SOURCE).")
    desk = Direct(settings, chosen)
    answers: list[Answer] = []
    try:
        for name in names:
            if drop_original:
                note(f"Dropped {desk.drop_original(name)}.")
                continue
            answers.append(_adopt(desk, name, zone, dates, accept_failures, is_applied=is_applied))
            if not as_json:
                _print(answers[-1], is_applied=is_applied)
    finally:
        desk.close()
        if as_json:
            print_json(answers)
    results = [each["result"] for each in answers if "result" in each]
    failed, waiting = (sum(len(each[state]) for each in results) for state in ("failed", "waiting"))
    ctx.exit(code_of_failures(0 if accept_failures else failed, waiting))


def _adopt(
    desk: "Direct", name: str, zone: tzinfo | None, dates: str | None, accept_failures: bool, *, is_applied: bool
) -> Answer:
    from s3_to_milvus.domain.adopting import Dates
    from s3_to_milvus.engine.answers import adoption_answer

    adoption = desk.plan_adoption(name, zone, Dates(dates) if dates else None)
    if not is_applied or adoption.is_over:
        return adoption_answer(adoption)
    with progress(name) as tell:
        return desk.adopt(adoption, tell, is_failure_accepted=accept_failures)


def _print(answer: Answer, *, is_applied: bool) -> None:
    name = answer["collection"]
    if answer["is_over"]:
        click.echo(f"{name}: is ours already; nothing to take over.")
        return
    rows = sum(each["rows"] for each in answer["copied"])
    compared = "" if answer["similarity"] is None else f"; vectors compared: cosine {answer['similarity']:.4f}"
    objects = counted(len(answer["copied"]), "object")
    click.echo(f"{name}: {objects} ({counted(rows, 'row')}) as they are, without embedding{compared}")
    if dropped := sum(each["dropped"] for each in answer["copied"]):
        click.echo(f"  not copied of them: {counted(dropped, 'row')} that stand twice, or of older versions")
    if answer["done"]:
        click.echo(f"  in {answer['successor']} already: {counted(answer['done'], 'object')}")
    click.echo(f"  dates were taken for {_DATES[answer['dates']]}")
    click.echo(f"  to be read and embedded anew: {counted(len(answer['read']), 'object')}")
    _print_left(answer["left"])
    if "result" in answer:
        _print_result(answer)
    else:
        note(f"Nothing was written; --apply does it, and keeps the original as {answer['kept_as']}.")


def _print_left(left: Sequence[Answer]) -> None:
    for why, count in Counter(each["why"] for each in left).items():
        click.echo(f"  left behind, {_WHY[why]} ({why}): rows of {counted(count, 'file name')}")
        named = [each for each in left if each["why"] == why]
        for each in named[:_LISTED]:
            click.echo(f"    {shown(each['file_name'])} ({counted(each['rows'], 'row')})")
        if count > _LISTED:
            click.echo(f"    … and {count - _LISTED:,} more (--json shows all)")


def _print_result(answer: Answer) -> None:
    result = answer["result"]
    embedded = counted(result["embedded"], "chunk")
    click.echo(f"  done: {result['copied']:,} copied, {result['read']:,} read anew, {embedded} embedded")
    for each in [*result["failed"], *result["waiting"]][:_LISTED]:
        note(f"  ! {shown(each['key'])}: {shown(each['error'])} [{each['error_code']}]")
    if result["is_switched"]:
        click.echo(
            f"  {answer['collection']} is now {answer['successor']}; the original is kept as {answer['kept_as']}"
        )
        return
    hint = "run it again" if result["waiting"] else "mend them and run it again, or say --accept-failures"
    note(f"  {answer['collection']} is still the original: some objects are not in {answer['successor']}; {hint}.")
