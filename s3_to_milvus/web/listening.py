"""Where this process listens, as far as it can know before the first request."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from s3_to_milvus.web.callers import is_loopback_name

__all__ = ["address_of_server", "is_own_address", "url_of"]

_UVICORN = ("127.0.0.1", 8000)


def url_of(host: str, port: int) -> str:
    """The address by which commands on this machine reach a socket bound to ``host``."""
    name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def is_own_address(host: str) -> bool:
    """Whether only this machine can reach a socket bound to ``host``."""
    return is_loopback_name(host)


def address_of_server(
    default: tuple[str, int], argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """Host and port from uvicorn's command line and variables where uvicorn started us, else the default."""
    argv = sys.argv if argv is None else argv
    environ = os.environ if environ is None else environ
    if not argv or "uvicorn" not in (PurePath(argv[0]).stem, PurePath(argv[0]).parent.name):
        return default
    host = _option(argv, "--host") or environ.get("UVICORN_HOST") or _UVICORN[0]
    port = _option(argv, "--port") or environ.get("UVICORN_PORT") or ""
    return host, int(port) if port.isdecimal() else _UVICORN[1]


def _option(argv: Sequence[str], name: str) -> str:
    """The last value given for an option; empty where there is none."""
    found = ""
    for place, word in enumerate(argv):
        if word == name and place + 1 < len(argv):
            found = argv[place + 1]
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found
