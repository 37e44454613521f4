"""The ASGI application: doors, workers, watchers and scans in one process."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from s3_to_milvus.engine.observe import log
from s3_to_milvus.errors import S3ToMilvusError
from s3_to_milvus.web import api, documents, events, health, keys, page, quarantine, server
from s3_to_milvus.web.access import Access
from s3_to_milvus.web.bodies import Room
from s3_to_milvus.web.door import Door
from s3_to_milvus.web.gate import Gate
from s3_to_milvus.web.listening import address_of_server, is_own_address, url_of
from s3_to_milvus.web.problems import add_handlers
from s3_to_milvus.web.schema import add_schema

if TYPE_CHECKING:
    from s3_to_milvus.bootstrap import Application

__all__ = ["create_app"]

Build = Callable[[], "Application"]
_STOP_S = 5.0


def create_app(build: Build | None = None, *, url: str | None = None) -> FastAPI:
    """The whole service as an ASGI application; nothing is read or opened before its lifespan begins.

    ``build`` makes the application (by default from the settings), ``url`` is where it answers (by default found out).
    """

    app = _Service(
        title="s3-to-milvus",
        summary="Keeps Milvus equal to what lies in an object store, and searches it.",
        version=_version(),
        lifespan=_lifespan(build or _from_settings, url),
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False},
    )
    app.add_middleware(Gate, **_gate_facts(app, url))
    add_handlers(app)
    add_schema(app)
    for module in (events, api, documents, quarantine, keys, health, page):
        app.include_router(module.router)
    app.mount("/static/swagger", StaticFiles(directory=page.swagger_files(), check_dir=False), "swagger")
    app.mount("/static", StaticFiles(directory=page.STATIC), "static")
    return app


class _Service(FastAPI):
    """Knows the server that it runs in, as long as nothing stands between."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            self.state.server = server.config_of(receive)
        await super().__call__(scope, receive, send)


def _gate_facts(app: FastAPI, url: str | None) -> dict[str, Callable[..., Any]]:
    """What the gate asks about: the door, once there is one."""

    def door() -> Door | None:
        found = getattr(app.state, "door", None)
        return found if isinstance(found, Door) else None

    def own_names() -> tuple[str, ...]:
        found = door()
        return () if found is None else found.own_names

    def heard(host: str, port: int) -> None:
        found = door()
        if url is None and found is not None:
            found.announce(url_of(host, port))

    def room(path: str) -> Room | None:
        found = door()
        is_upload = path.rstrip("/") == documents.UPLOAD_PATH
        return found.upload_room if is_upload and found is not None else None

    def access() -> Access | None:
        found = door()
        return None if found is None else found.access

    return {"own_names": own_names, "heard": heard, "room": room, "access": access}


def _from_settings() -> "Application":
    from s3_to_milvus.bootstrap import build, configure_logging
    from s3_to_milvus.settings import load

    settings = load()
    configure_logging(settings.log)
    return build(settings)


def _lifespan(build: Build, url: str | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        config = getattr(app.state, "server", None)
        files = server.raise_file_limit()
        try:
            app.state.door = await asyncio.to_thread(_open, build, url, config)
        except S3ToMilvusError as error:
            app.state.failure = error
            raise
        server.protect(config, app.state.door.application.settings.max_connections, files)
        try:
            yield
        finally:
            door, app.state.door = app.state.door, None
            await _close(door)

    return lifespan


def _open(build: Build, url: str | None, config: Any) -> Door:
    from s3_to_milvus.bootstrap import decode_event

    application = build()
    try:
        settings = application.settings
        host, port = address_of_server((settings.host, settings.port))
        is_public = server.is_unix_socket(config) or not is_own_address(host)
        door = Door(application, decode_event, is_public=is_public)
        door.write_token()
        door.make_first_key()
        door.warn_if_open()
        application.start()
        door.announce(url or server.socket_url(config) or url_of(host, port))
    except BaseException:
        application.stop()
        raise
    return door


async def _close(door: Door) -> None:
    """Stop in a thread of its own, which cannot keep the process from ending when it takes too long."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        try:
            door.close()
        except Exception as error:  # noqa: BLE001 - the process ends anyway; the log keeps the reason
            log.exception("service.stop_failed", error=type(error).__name__)
        with suppress(RuntimeError):  # the loop may be gone when it took too long
            loop.call_soon_threadsafe(stopped.set)

    threading.Thread(target=stop, name="s2m-stop", daemon=True).start()
    try:
        await asyncio.wait_for(stopped.wait(), _STOP_S)
    except TimeoutError:
        log.error("service.stop_timed_out", seconds=_STOP_S)


def _version() -> str:
    try:
        return version("s3-to-milvus")
    except PackageNotFoundError:
        return "0"
