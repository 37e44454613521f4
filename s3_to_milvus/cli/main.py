"""`s3-to-milvus`: the group of commands, and how failures end."""

import sys

import click

from s3_to_milvus.cli.access import keys, quarantine
from s3_to_milvus.cli.adopting import adopt
from s3_to_milvus.cli.asking import check, retry, search, show, status
from s3_to_milvus.cli.backup import backup, restore
from s3_to_milvus.cli.codes import FATAL, INTERRUPTED, code_of
from s3_to_milvus.cli.connecting import connect, notion_setup
from s3_to_milvus.cli.looking import config, doctor
from s3_to_milvus.cli.serving import serve, up
from s3_to_milvus.cli.syncing import sync
from s3_to_milvus.errors import S3ToMilvusError

__all__ = ["main"]


class _Group(click.Group):
    """Ends every failure in one clear line and the right exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order people meet them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command."""
        is_debugging = bool(ctx.params.get("debug"))
        try:
            super().invoke(ctx)
            return
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except S3ToMilvusError as error:
            code, message, hint = code_of(error), error.message, error.hint
            _tell(message, hint, is_debugging=is_debugging)
        except KeyboardInterrupt:
            code = INTERRUPTED
            click.echo("Stopped. The same command goes on where it was.", err=True)
        except Exception as error:  # noqa: BLE001 - only who asks for a traceback is shown one
            code = FATAL
            hint = "This is a defect: please report what `s3-to-milvus --debug …` prints."
            _tell(f"unexpected {type(error).__name__}: {error}", hint, is_debugging=is_debugging)
        ctx.exit(code)


def _tell(message: str, hint: str, *, is_debugging: bool) -> None:
    if is_debugging:
        import traceback

        traceback.print_exc()
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def _print_version(ctx: click.Context, _param: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"s3-to-milvus {version('s3-to-milvus')}")
        ctx.exit()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks of failures.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
def main(debug: bool) -> None:
    """Keep Milvus equal to what lies in a folder or an S3 bucket, and search it.

    Settings come from S2M_… variables, .env and s3-to-milvus.toml; see `config`. Exit codes: 0 in sync, 2 usage or
    settings, 5 retryable failures remain, 6 permanent failures remain, 7 fatal.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    import signal

    # A service manager's polite stop ends a command as Ctrl-C does: leases are handed back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


for _command in (
    up,
    serve,
    sync,
    search,
    status,
    show,
    retry,
    check,
    connect,
    backup,
    restore,
    adopt,
    notion_setup,
    keys,
    quarantine,
    doctor,
    config,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()
