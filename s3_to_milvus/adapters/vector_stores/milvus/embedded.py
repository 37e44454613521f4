"""The engine of Milvus Lite, served to our own client only."""

import importlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.flushing import close_log
from s3_to_milvus.adapters.vector_stores.milvus.inserting import servicer_class
from s3_to_milvus.adapters.vector_stores.milvus.tuning import tune
from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_lite

__all__ = ["Embedded"]

_MESSAGE_BYTES = 256 * 2**20
_SOCKET_BYTES = 90  # the longest path of a socket is 107 bytes on Linux, 103 on macOS


class Embedded:
    """One open database, served at ``uri``.

    That is a socket in a folder that no other user may enter (127.0.0.1 where there are no such sockets): Lite knows no
    passwords.
    """

    def __init__(self, path: Path) -> None:
        lite = load_lite()
        tune()
        self.db: Any = lite.MilvusLite(str(path))
        self.lock_inode = os.fstat(self.db._lock_fd).st_ino
        try:
            self._server, self.uri = _serve(self.db, path / "socket")
        except BaseException:
            self.db.close()
            raise

    def leave(self, collection: str) -> None:
        """Forget an open collection without writing anything."""
        engine = self.db._collections.pop(("default", collection), None)
        if engine is not None:
            _leave(engine)

    def close(self) -> None:
        """Stop serving and let go of the files. What is not flushed stays in the logs, now safe on the disk."""
        self._server.stop(grace=None).wait()
        try:
            for engine in self.db._collections.values():
                _leave(engine)
        finally:
            self.db._collections.clear()
            self.db.close()
            if self.uri.startswith("unix:"):
                shutil.rmtree(Path(self.uri.removeprefix("unix:")).parent, ignore_errors=True)


def _leave(engine: Any) -> None:
    """Close a collection without the flush of its own ``close``, which costs more than replaying the log later."""
    engine._bg_closed = True
    engine._bg_executor.shutdown(wait=True)
    close_log(engine._wal)


def _serve(db: Any, folder: Path) -> tuple[Any, str]:
    grpc = importlib.import_module("grpc")
    services = importlib.import_module("pymilvus.grpc_gen.milvus_pb2_grpc")
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_send_message_length", _MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(2, thread_name_prefix="milvus-lite"), options=options)
    services.add_MilvusServiceServicer_to_server(servicer_class()(db), server)
    uri = _bind_socket(server, folder) or f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    return server, uri


def _bind_socket(server: Any, folder: Path) -> str:
    """The URI of a socket in this folder, or in one for temporary files where the path is too long; empty: neither."""
    if os.name != "posix":
        return ""
    if len(os.fsencode(folder)) > _SOCKET_BYTES:
        folder = Path(tempfile.mkdtemp(prefix="s2m-"))
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for left_behind in folder.iterdir():
        left_behind.unlink()
    uri = f"unix:{folder / 'lite'}"
    try:
        server.add_insecure_port(uri)
    except RuntimeError:  # a file system without sockets
        return ""
    return uri
