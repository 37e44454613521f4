"""`backup` and `restore`: a copy of ledger and vectors, and the way back."""

from pathlib import Path

import click

from s3_to_milvus.cli.codes import FATAL
from s3_to_milvus.cli.desk import Answer, OnProgress, Step
from s3_to_milvus.cli.opening import load_settings, open_desk
from s3_to_milvus.cli.output import counted, json_option, note, print_json, shown, size_of
from s3_to_milvus.cli.progress import progress

__all__ = ["backup", "restore"]

_SHOWN = 20
_NAMES = {"ledger.db": "ledger", "milvus.db": "vectors"}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--verify", "is_verifying", is_flag=True, help="Make none: read every byte of the one that is there.")
@json_option
@click.pass_context
def backup(ctx: click.Context, folder: Path, is_verifying: bool, as_json: bool) -> None:
    """Copy ledger and vectors to FOLDER, as they are at one moment, while everything runs.

    FOLDER must not be there, or be empty. The rows of a Milvus server are not copied: use its own backup. `restore`
    is the way back.
    """
    folder = folder.expanduser().absolute()
    if is_verifying:
        with progress("verify") as tell:
            answer = _verify(folder, tell)
        _print_verified(answer, as_json=as_json)
        if not answer["ok"]:
            ctx.exit(FATAL)
        return
    with open_desk() as desk, progress("backup") as tell:
        answer = desk.backup(folder, tell)
    if as_json:
        print_json(answer)
        return
    what = " and ".join(_NAMES[each] for each in answer["stores"])
    click.echo(
        f"{what}: {counted(answer['files'], 'file')}, {size_of(answer['size_bytes'])} in {shown(answer['folder'])}"
    )
    if not answer["has_vectors"]:
        note("The vectors lie on a Milvus server and are not in it: use the backup of that server.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--ledger-only", is_flag=True, help="Leave the vectors as they are.")
@click.option("--vectors-only", is_flag=True, help="Leave the ledger as it is.")
@json_option
def restore(folder: Path, ledger_only: bool, vectors_only: bool, as_json: bool) -> None:
    """Put the backup in FOLDER in the place of ledger and vectors.

    No service may run over the data folder. What is replaced stays beside it, under another name. At the next start,
    what has changed since the backup is found in the source.
    """
    from s3_to_milvus.bootstrap import configure_logging
    from s3_to_milvus.bootstrap import restore as put_back

    if ledger_only and vectors_only:
        raise click.UsageError("--ledger-only and --vectors-only exclude each other.")
    settings = load_settings()
    configure_logging(settings.log.model_copy(update={"level": "error"}))
    stores = ("ledger.db",) if ledger_only else ("milvus.db",) if vectors_only else ()
    with progress("restore") as tell:
        done = put_back(settings, folder.expanduser().absolute(), stores, lambda n, total: tell(Step(n, total)))
    if as_json:
        replaced = [str(each) for each in done.replaced]
        print_json({"made_at": done.manifest.made_at, "stores": list(done.stores), "replaced": replaced})
        return
    what = " and ".join(_NAMES[each] for each in done.stores)
    click.echo(f"{what} of {done.manifest.made_at} restored")
    for each in done.replaced:
        note(f"  kept: {shown(str(each))}")
    note("Start the service: it finds in the source what has changed since. Then what was kept can be removed.")


def _verify(folder: Path, tell: OnProgress) -> Answer:
    from s3_to_milvus.engine.backup_folder import verify

    found = verify(folder, lambda done, total: tell(Step(done, total)))
    manifest = found.manifest
    return {
        "ok": not found.problems,
        "folder": str(folder),
        "made_by": manifest.made_by,
        "made_at": manifest.made_at,
        "stores": list(manifest.stores),
        "files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
        "problems": list(found.problems),
    }


def _print_verified(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for problem in answer["problems"][:_SHOWN]:
        click.echo(f"BAD {shown(problem)}")
    if len(answer["problems"]) > _SHOWN:
        click.echo(f"… and {len(answer['problems']) - _SHOWN} more (`--json` shows all)")
    if answer["ok"]:
        size = size_of(answer["size_bytes"])
        click.echo(f"whole: {counted(answer['files'], 'file')}, {size}, made at {answer['made_at']}")
