"""The connection: opened at the first use, by a path to Milvus Lite or by an address to a server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s3_to_milvus.adapters.vector_stores.milvus.address import Address, lite_path_of
from s3_to_milvus.adapters.vector_stores.milvus.errors import translate, translated
from s3_to_milvus.adapters.vector_stores.milvus.vendor import grpc_errors, load_pymilvus
from s3_to_milvus.errors import ConfigError, FatalError, Unavailable
from s3_to_milvus.ports import Frozen

__all__ = ["Connection"]

_LITE_TIMEOUT_S = 600.0
_NEVER_MS = 2**31 - 1


class Connection:
    """One client for all threads. ``lite`` is the embedded database behind it, None for a server.

    ``once`` is to be given to every call: the deadline, and no waiting for a rate limit to end.
    """

    def __init__(
        self, address: Address, timeout_s: float, on_gone: Callable[[str | None], None] = lambda _: None
    ) -> None:
        """``on_gone`` is called, with the gate held, with the name of a collection that is not open in Lite (any more);
        None: all of them."""
        address.verify()
        self.path = lite_path_of(address.uri)
        self._address = address
        self._timeout_s = timeout_s if self.path is None else _LITE_TIMEOUT_S
        self.once: dict[str, Any] = {"timeout": self._timeout_s, "retry_on_rate_limit": False}
        self._opening = threading.Lock()
        self._client: Any = None
        self._is_closed = False
        self._on_gone = on_gone
        self._opening_of_client = 0
        self.lite: Any = None

    @property
    def name(self) -> str:
        """For people."""
        return self._address.name

    @contextmanager
    def gate(self, collection: str = "") -> Iterator[Any]:
        """The client; with Lite, everybody else waits until it is given back. ``collection``: what it is wanted for."""
        with translated(f"opening {self.name}"):
            client = self._client or self._open()
        lite = self.lite
        if lite is None:
            yield client
            return
        with lite.gate():
            if self._is_closed:
                raise Unavailable("The vector store is closed.")
            with translated(f"opening {self.name}"):
                self._notice(lite, collection)
            yield self._client

    def _notice(self, lite: Any, collection: str) -> None:
        """Whether what was open still is there."""
        if lite.is_lost:
            lite.reopen()
        if self._opening_of_client != lite.openings:
            self._client.close()
            self._client = self._connect(lite.uri)
            self._opening_of_client = lite.openings
            self._on_gone(None)
        if collection and lite.is_gone(collection):
            self._on_gone(collection)

    def has(self, client: Any, collection: str) -> bool:
        """Whether it is there. Through pymilvus, Lite would open it, which a damaged one can't bear."""
        if self.lite is not None:
            return bool(self.lite.has(collection))
        return bool(client.has_collection(collection, **self.once))

    def names(self, client: Any) -> list[str]:
        """Of all collections. (Through pymilvus, Lite would open each.)"""
        return list(self.lite.names() if self.lite is not None else client.list_collections(**self.once))

    @contextmanager
    def undisturbed(self, collection: str) -> Iterator[None]:
        """No housekeeping of Milvus Lite in this collection, which is about to go. Take it before the gate."""
        if self._client is None:
            self._open()
        if self.lite is None:
            yield
            return
        with self.lite.dropping(collection):
            yield

    def freeze(self, meanwhile: Callable[[], None]) -> Frozen | None:
        """See `VectorStore.freeze`."""
        with self.gate():  # opened
            lite = self.lite
        if lite is None:
            meanwhile()
            return None
        frozen: Frozen = lite.freeze(meanwhile)
        return frozen

    def close(self) -> None:
        """May be called twice, and by a store that was never used."""
        with self._opening:
            self._is_closed = True
            client, self._client = self._client, None
        if client is None:
            return
        if self.lite is None:
            client.close()
            return
        from s3_to_milvus.adapters.vector_stores.milvus.lite import release

        with self.lite.gate():  # calls that are under way come to their end
            client.close()
        release(self.lite)

    def _open(self) -> Any:
        with self._opening:
            if self._is_closed:
                raise Unavailable("The vector store is closed.")
            if self._client is None:
                self._client = self._connect(self._address.uri) if self.path is None else self._embed(self.path)
            return self._client

    def _embed(self, path: Path) -> Any:
        from s3_to_milvus.adapters.vector_stores.milvus.lite import acquire, release

        lite = acquire(path)
        try:
            client = self._connect(lite.uri)
        except BaseException:
            release(lite)
            raise
        self.lite, self._opening_of_client = lite, lite.openings
        return client

    def _connect(self, uri: str) -> Any:
        address = self._address
        options: dict[str, Any] = {}
        if self.path is not None:
            # Lite's server takes pymilvus' keepalive for an attack, says so on stderr and hangs up.
            options = {"grpc.keepalive_time_ms": _NEVER_MS, "grpc.keepalive_permit_without_calls": 0}
        try:
            client = load_pymilvus().MilvusClient(
                uri,
                token=address.token,
                db_name=address.db_name,
                timeout=self._timeout_s,
                dedicated=True,
                grpc_options=options,
                **address.options(),
            )
        except grpc_errors() as exc:
            if type(exc).__name__ == "ConnectionConfigException":
                raise ConfigError(f"vector_store.milvus.uri = {self.name!r}: {exc}") from exc
            # It says "illegal connection params or server unavailable" for everything; the reason stands behind it.
            reason = exc.__cause__ if isinstance(exc.__cause__, grpc_errors()) else exc
            error = translate(reason, f"connecting to {self.name}")
            raise error if isinstance(error, FatalError) else Unavailable(error.message, hint=error.hint) from exc
        client._get_connection()._on_rpc_error = _give_up
        return client


def _give_up(error: Exception) -> bool:
    """pymilvus asks this after a failure, and then repeats the call until its time is over, an insert as well.

    Where only the answer was lost, rows would be there twice. So the error is raised on; the engine decides. (gRPC
    connects anew by itself.)
    """
    if hasattr(error, "details"):
        raise error
    return False
