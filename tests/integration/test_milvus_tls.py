"""Milvus by TLS: an authority of one's own, another name in the certificate, a certificate that the server asks for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from s3_to_milvus.adapters.vector_stores.milvus import MilvusVectorStore
from s3_to_milvus.domain.rows import CollectionSpec
from s3_to_milvus.errors import ConfigError, Unavailable
from s3_to_milvus.testing.contracts.vector_store import DIM, make_row
from tests.integration.test_milvus_errors import Server
from tests.support.certificates import self_signed
from tests.support.patience import SOON_S

grpc: Any = pytest.importorskip("grpc")
SPEC = CollectionSpec("papers", "논문", DIM, "embedder-1")
Serve = Callable[..., str]


class Files:
    """Certificates and keys of both sides."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server, self.server_key = self._make("server")
        self.other, self.other_key = self._make("other", "milvus.internal")
        self.client, self.client_key = self._make("client", "client")

    def _make(self, label: str, name: str = "127.0.0.1") -> tuple[Path, Path]:
        made = []
        for part, pem in zip(("cert", "key"), self_signed(name), strict=True):
            path = self._folder / f"{label}.{part}.pem"
            path.write_bytes(pem)
            made.append(path)
        return made[0], made[1]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def serve(files: Files, tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(certificate: Path, key: Path, *, asks: bool = False) -> str:
            pair = (key.read_bytes(), certificate.read_bytes())
            asked = files.client.read_bytes() if asks else None
            credentials = grpc.ssl_server_credentials([pair], asked, require_client_auth=asks)
            server = stack.enter_context(closing(Server(tmp_path / "server", credentials)))
            return server.uri

        yield start


def _works(uri: str, **options: Any) -> None:
    made = MilvusVectorStore.Options.model_validate({"uri": uri, "timeout_s": SOON_S, **options})
    with closing(MilvusVectorStore(made)) as store:
        store.ensure(SPEC)
        store.insert(SPEC.name, [make_row("a")])
        assert store.count(SPEC.name) == 1


def test_an_authority_of_one_s_own_is_trusted_where_it_is_named(serve: Serve, files: Files) -> None:
    uri = serve(files.server, files.server_key)
    _works(uri, ca_bundle=files.server)


@pytest.mark.parametrize("named", ["", "other"])
def test_a_server_that_nobody_vouches_for_is_not_spoken_to(serve: Serve, files: Files, named: str) -> None:
    uri = serve(files.server, files.server_key)
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED") as caught:
        _works(uri, timeout_s=2.0, **({"ca_bundle": files.other} if named else {}))
    assert "ca_bundle" in caught.value.hint


def test_a_certificate_may_bear_another_name(serve: Serve, files: Files) -> None:
    uri = serve(files.other, files.other_key)
    with pytest.raises(Unavailable):
        _works(uri, timeout_s=2.0, ca_bundle=files.other)
    _works(uri, ca_bundle=files.other, server_name="milvus.internal")


def test_a_server_may_ask_for_a_certificate(serve: Serve, files: Files) -> None:
    uri = serve(files.server, files.server_key, asks=True)
    with pytest.raises(Unavailable):
        _works(uri, timeout_s=2.0, ca_bundle=files.server)
    _works(uri, ca_bundle=files.server, client_cert_file=files.client, client_key_file=files.client_key)


def test_parts_that_do_not_go_together_are_told(files: Files) -> None:
    for options, said in (
        ({"uri": "http://h:1", "ca_bundle": files.server}, "ca_bundle is set, but the address http://h:1 has no TLS"),
        ({"uri": "http://h:1", "server_name": "x"}, "server_name is set"),
        (
            {"uri": "https://h:1", "client_cert_file": files.client},
            "needs client_cert_file, client_key_file and ca_bundle",
        ),
        ({"uri": "https://h:1", "ca_bundle": "/no/where.pem"}, "there is no such file"),
        ({"uri": "milvus:19530"}, "neither an address nor a path"),
        ({"uri": "localhost"}, "neither an address nor a path"),
        ({"uri": "milvus.company.local"}, "neither an address nor a path"),
        ({"uri": "./x.db", "db_name": "y"}, "one database only"),
    ):
        with pytest.raises(ConfigError, match=said):
            MilvusVectorStore(MilvusVectorStore.Options.model_validate(options))


def test_a_password_in_the_address_is_not_shown() -> None:
    uri = "http://root:geheim@127.0.0.1:9"
    with closing(MilvusVectorStore(MilvusVectorStore.Options(uri=uri, timeout_s=0.3))) as store:
        with pytest.raises(Unavailable) as caught:
            store.check()
        assert "geheim" not in f"{caught.value.message} {caught.value.hint}"
        assert "http://127.0.0.1:9" in caught.value.message
