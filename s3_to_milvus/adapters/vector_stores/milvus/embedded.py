"""The engine of Milvus Lite, served to our own client only."""

import importlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.inserting import servicer_class
from s3_to_milvus.adapters.vector_stores.milvus.tuning import tune
from s3_to_milvus.adapters.vector_stores.milvus.vendor import load_lite

__all__ = ["Embedded"]

_MESSAGE_BYTES = 256 * 2**20
_SOCKET_BYTES = 90  # the longest path of a socket is 107 bytes on Linux, 103 on macOS


class Embedded:
    """One open database. ``uri`` is a socket in a folder of our own that no other user may enter (127.0.0.1 where
    there are no such sockets): Lite knows no passwords."""

    def __init__(self, path: Path) -> None:
        lite = load_lite()
        tune()
        self.db: Any = lite.MilvusLite(str(path))
        self._folder = tempfile.TemporaryDirectory(prefix="s2m-lite-", ignore_cleanup_errors=True)
        try:
            self._server, self.uri = _serve(self.db, Path(self._folder.name))
        except BaseException:
            self.db.close()
            self._folder.cleanup()
            raise

    def close(self) -> None:
        """Stop serving and let go of the files. What is not flushed stays in the logs, now safe on the disk."""
        self._server.stop(grace=None).wait()
        try:
            for engine in self.db._collections.values():
                _leave(engine)
        finally:
            self.db._collections.clear()
            self.db.close()
            self._folder.cleanup()


def _leave(engine: Any) -> None:
    """Close a collection without the flush of its own ``close``, which costs more than replaying the log later."""
    engine._bg_closed = True
    engine._bg_executor.shutdown(wait=True)
    log = engine._wal
    for writer, sink in ((log._data_writer, log._data_sink), (log._delta_writer, log._delta_sink)):
        if writer is not None:
            writer.close()
            sink.flush()
            os.fsync(sink.fileno())
            sink.close()
    log._closed = True


def _serve(db: Any, folder: Path) -> tuple[Any, str]:
    grpc = importlib.import_module("grpc")
    services = importlib.import_module("pymilvus.grpc_gen.milvus_pb2_grpc")
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_send_message_length", _MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(2, thread_name_prefix="milvus-lite"), options=options)
    services.add_MilvusServiceServicer_to_server(servicer_class()(db), server)
    socket = folder / "lite"
    if os.name == "posix" and len(os.fsencode(socket)) < _SOCKET_BYTES:
        uri = f"unix:{socket}"
        server.add_insecure_port(uri)
    else:
        uri = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    return server, uri
