"""What the server below us (uvicorn, however it was started) is made to keep: limits, times, modes, a quiet log."""

import asyncio
import errno
import logging
import os
import resource
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from s3_to_milvus.engine.observe import log
from s3_to_milvus.web.connections import Connections
from s3_to_milvus.web.seldom import Seldom

__all__ = ["config_of", "is_unix_socket", "protect", "raise_file_limit", "socket_url"]

_MOST_FILES = 65_536
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
_NOISE = ("Invalid HTTP request received.", "Unsupported upgrade request.")


def config_of(receive: object) -> Any:
    """The `uvicorn.Config` of the server whose lifespan this is; None for another server."""
    from uvicorn import Config

    config = getattr(getattr(receive, "__self__", None), "config", None)
    return config if isinstance(config, Config) else None


def socket_url(config: Any) -> str:
    """The Unix socket that uvicorn will make, as commands on this machine find it; empty for none."""
    path = _socket_path(config)
    return f"unix:{Path(path).absolute()}" if path else ""


def _socket_path(config: Any) -> str:
    return str(config.uds) if config is not None and config.uds and config.fd is None else ""


def is_unix_socket(config: Any) -> bool:
    """Whether the server listens on a Unix socket, its own or one that it was given."""
    if config is None or config.fd is None:
        return bool(_socket_path(config))
    with suppress(OSError), socket.socket(fileno=os.dup(config.fd)) as given:
        return given.family == socket.AF_UNIX
    return True


def raise_file_limit() -> int:
    """As many open files as this process may have (up to 65,536); how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MOST_FILES if soft == resource.RLIM_INFINITY else soft
    with suppress(OSError, ValueError):  # macOS refuses what its kernel does not have
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def protect(config: Any, max_connections: int, files: int) -> None:
    """Before the server listens. At most half of the files that may be open are connections."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_quiet(Seldom(), loop.get_exception_handler()))
    if config is None:
        return
    most = max(8, min(max_connections, files // 2))
    config.http_protocol_class = Connections(most).guard(config.http_protocol_class)
    config.ws_protocol_class = None  # there is nothing here to speak to by it
    config.backlog = min(config.backlog, max(64, files // 8))  # so many connections are taken on at once
    logging.getLogger("uvicorn.error").addFilter(_seldom_noise(Seldom()))
    if path := _socket_path(config):
        _make_private(Path(path))


def _make_private(path: Path) -> None:
    """uvicorn gives its socket the mode of the file that it takes the place of, and 0666 where there is none."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.chmod(0o600)
        return
    with socket.socket(socket.AF_UNIX) as placeholder, suppress(OSError):
        placeholder.bind(str(path))
        path.chmod(0o600)


def _quiet(seldom: Seldom, before: Callable[..., object] | None) -> Callable[..., None]:
    """asyncio says thousands of times that it can't take on a connection for want of files."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_MORE_FILES:
            if times := seldom.times("files"):
                hint = "Raise the limit of open files (ulimit -n), or lower S2M_MAX_CONNECTIONS."
                log.warning("connections.no_more_files", message=error.strerror, times=times, hint=hint)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    return handle


def _seldom_noise(seldom: Seldom) -> Callable[[logging.LogRecord], bool]:
    """Lines of the server that anybody can cause as often as he likes."""
    return lambda record: record.msg not in _NOISE or bool(seldom.times(record.msg))
