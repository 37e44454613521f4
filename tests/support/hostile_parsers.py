"""Parsers that do what hostile files make real ones do; they run in parsing children only."""

import ctypes
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from s3_to_milvus.domain.documents import Block, BlockKind, Document
from s3_to_milvus.errors import EncryptedDocument
from s3_to_milvus.ports import ParserInput

__all__ = ["HostileParser"]


class HostileParser:
    """The file says what to do: ``hang``, ``abort``, ``read /etc/passwd``."""

    class Options(BaseModel):
        """A word that comes back."""

        model_config = ConfigDict(extra="forbid")

        word: str = ""
        folder: str = ""

    def __init__(self, options: Options) -> None:
        self._word = options.word
        self.folders = (Path(options.folder),) if options.folder else ()

    def parse(self, source: ParserInput) -> Document:
        """Do it; the result is the text."""
        data = source.data if source.data is not None else source.path.read_bytes() if source.path else b""
        command, _, rest = data.decode().partition(" ")
        if command == "overwrite" and source.path is not None:
            source.path.write_text("spoilt")
        if command == "many":
            return Document(_many(int(rest)), source.media_type, title="많음", page_count=7, warnings=("w",))
        text = _COMMANDS[command](rest)
        return Document([Block(BlockKind.PARAGRAPH, f"{self._word}{text}")], source.media_type)

    def check(self) -> str:
        """Well."""
        return f"hostile {self._word}"


def _many(count: int) -> Iterator[Block]:
    for number in range(count):
        yield Block(BlockKind.PARAGRAPH, f"{number} {'가' * 1_000}", page=number % 7 + 1)


def _hang(_: str) -> str:
    while True:
        pass


def _hang_in_c(_: str) -> str:
    ctypes.PyDLL(None).sleep(1_000)  # holds the interpreter's lock all the time
    return ""


def _bomb(_: str) -> str:
    return str(len(bytearray(8 << 30)))


def _swallow(_: str) -> str:
    held = []
    while True:
        held.append(bytearray(1 << 24))


def _refuse(_: str) -> str:
    raise EncryptedDocument("locked", hint="unlock it")


def _defect(_: str) -> str:
    raise ZeroDivisionError("our own fault")


class _PanicException(BaseException):
    def __reduce__(self) -> str:
        raise TypeError("cannot be sent anywhere")


def _panic(_: str) -> str:
    raise _PanicException("index out of bounds")


def _read(path: str) -> str:
    return Path(path).read_text()


def _write(path: str) -> str:
    return str(Path(path).write_text("x"))


def _connect(port: str) -> str:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=5):
        return "connected"


def _datagram(_: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return str(sender.sendto(b"x", ("127.0.0.1", 9)))


def _fork(_: str) -> str:
    if os.fork() == 0:
        os._exit(0)
    return "forked"


def _execute(_: str) -> str:
    return os.execv("/bin/true", ["true"])


def _chmod(path: str) -> str:
    Path(path).chmod(0o777)
    return "changed"


def _thread(_: str) -> str:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append("done"))
    thread.start()
    thread.join()
    return said[0]


def _spill(_: str) -> str:
    with tempfile.NamedTemporaryFile() as file:
        return str(file.write(b"x"))


def _spill_unnamed(_: str) -> str:
    return str(os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR))


def _kill(pid: str) -> str:
    os.kill(int(pid), 0)
    return "killed"


def _neighbours(_: str) -> str:
    return str([*Path(tempfile.gettempdir()).iterdir()])


def _main_module(_: str) -> str:
    return ",".join(name for name in ("uvicorn", "pytest", "click") if name in sys.modules)


def _end(code: str) -> str:
    os._exit(int(code))


def _slow(seconds: str) -> str:
    time.sleep(float(seconds))
    return "done"


_COMMANDS: dict[str, Callable[[str], str]] = {
    "ok": str,
    "pid": lambda _: str(os.getpid()),
    "environ": lambda _: ",".join(sorted(os.environ)),
    "segv": lambda _: str(ctypes.string_at(0)),
    "abort": lambda _: str(os.abort()),
    "hang": _hang,
    "hang-c": _hang_in_c,
    "bomb": _bomb,
    "swallow": _swallow,
    "refuse": _refuse,
    "defect": _defect,
    "panic": _panic,
    "read": _read,
    "write": _write,
    "connect": _connect,
    "datagram": _datagram,
    "fork": _fork,
    "execute": _execute,
    "chmod": _chmod,
    "thread": _thread,
    "spill": _spill,
    "neighbours": _neighbours,
    "socketpair": lambda _: str(socket.socketpair()),
    "kill": _kill,
    "spill-unnamed": _spill_unnamed,
    "modules": _main_module,
    "shout": lambda text: str(os.write(1, text.encode()) + os.write(2, text.encode())),
    "exit": _end,
    "slow": _slow,
}
