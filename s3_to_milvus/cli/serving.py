"""`serve` and `up`: the whole service in this process."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from s3_to_milvus.cli.opening import load_settings
from s3_to_milvus.cli.output import note, print_json, shown
from s3_to_milvus.errors import ConfigError, FatalError

if TYPE_CHECKING:
    from socket import socket

    from s3_to_milvus.bootstrap import Application
    from s3_to_milvus.settings import Settings

__all__ = ["serve", "up"]

_SAMPLES = "samples"
_DRAIN_S = 2


def _serving(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once it answers.")(command)
    command = click.option(
        "--source", "sources", multiple=True, help="A folder or s3://bucket/prefix; may be repeated."
    )(command)
    command = click.option("--port", type=click.IntRange(0, 65_535), help="0: any free one.")(command)
    return click.option("--host", help="The address to listen on.")(command)


@click.command()
@_serving
def serve(host: str | None, port: int | None, sources: Sequence[str], as_json: bool) -> None:
    """Run the service: HTTP, workers, watchers, scans."""
    settings = load_settings(host=host, port=port, source=tuple(sources) or None)
    _serve(settings, _print_address if as_json else lambda application, url: note(f"Serving {url}"))


@click.command()
@_serving
def up(host: str | None, port: int | None, sources: Sequence[str], as_json: bool) -> None:
    """Run the service, and say how to use it.

    Without --source and S2M_SOURCE it mirrors ./samples.
    """
    settings = load_settings(host=host, port=port, source=tuple(sources) or None)
    if not settings.source:
        from pathlib import Path

        if not Path(_SAMPLES).is_dir():
            raise ConfigError(
                "There is no folder to mirror.",
                hint="Name one: s3-to-milvus up --source ~/documents (or set S2M_SOURCE).",
            )
        settings = load_settings(host=host, port=port, source=(_SAMPLES,))
    if not settings.places_of("log.level"):
        settings = load_settings(host=host, port=port, source=settings.source, **{"log.level": "warning"})
    _serve(settings, _print_address if as_json else _welcome)


def _serve(settings: "Settings", welcome: "Callable[[Application, str], None]") -> None:
    """Listen, build, serve until stopped. What can fail, fails before the first request."""
    from s3_to_milvus.bootstrap import configure_logging

    configure_logging(settings.log)
    with _listen(settings.host, settings.port) as listener:
        _serve_on(listener, settings, welcome)


def _serve_on(listener: "socket", settings: "Settings", welcome: "Callable[[Application, str], None]") -> None:
    import uvicorn

    from s3_to_milvus.bootstrap import build

    # The doors do not import each other: this one starts the other by name, as `uvicorn` would.
    web = import_module("s3_to_milvus.web.app")
    url = import_module("s3_to_milvus.web.listening").url_of(*listener.getsockname()[:2])
    application = build(settings)
    app = web.create_app(lambda: application, url=url)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_S,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    _when_started(server, lambda: welcome(application, url))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        note("Stopped.")
    if not server.started:
        raise FatalError("The service could not start.", hint="The log above says why; `s3-to-milvus doctor` helps.")


def _listen(host: str, port: int) -> "socket":
    """A socket that others can connect to once the server takes it. Raises `ConfigError` where that can't be."""
    import socket

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2_048)
        # asyncio does so only for sockets that it made itself; without it, each answer waits 40 ms for a delayed ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise ConfigError(
            f"Can't listen on {host}:{port}: {error.strerror or error}.",
            hint="Choose another address with --host and --port.",
        ) from error


def _when_started(server: Any, tell: Callable[[], None]) -> None:
    import threading

    def wait() -> None:
        while not server.started and not server.should_exit:
            time.sleep(0.02)
        if server.started:
            tell()

    threading.Thread(target=wait, name="s2m-welcome", daemon=True).start()


def _print_address(application: "Application", url: str) -> None:
    import os

    print_json({"url": url, "pid": os.getpid(), "sources": [entry.uri for entry in application.sources]})


def _welcome(application: "Application", url: str) -> None:
    """Where to look, how to ask; then, once everything is indexed, how much is searchable."""
    for entry in application.sources:
        click.echo(f"Mirroring {shown(entry.uri)}")
    click.echo(f"Look:    {url}/")
    click.echo('Search:  s3-to-milvus search "…"')
    click.echo("Stop:    Ctrl-C")
    mirror = application.mirror
    while not application.service.is_ready:
        time.sleep(0.1)
    try:
        mirror.wait(application.sources)
    except FatalError as error:
        note(f"error: {error.message}\nhint: {error.hint}")
        return
    counts = mirror.status().counts
    failed = f"; {counts.failed:,} failed (see {url}/)" if counts.failed else ""
    click.echo(f"{counts.indexed:,} documents are searchable{failed}.")
