"""Where Milvus is: the path of a Milvus Lite database, or the address of a server and how it is trusted."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3_to_milvus.errors import ConfigError

__all__ = ["Address", "lite_path_of"]

_BARE = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?")
_USERINFO = re.compile(r"(?<=://)[^/@]*@")


def lite_path_of(uri: str) -> Path | None:
    """The path that a URI names; None for the address of a server. Raises `ConfigError` for what may be either."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if _BARE.fullmatch(uri) and not uri.endswith(".db"):
            raise ConfigError(
                f"vector_store.milvus.uri = {uri!r} is neither an address nor a path.",
                hint=f"Write http://{uri} for a server (https:// with TLS), or ./{uri} for a file.",
            )
        return None if uri.startswith("unix:") else Path(uri)
    return Path(rest) if scheme == "file" else None


@dataclass(frozen=True, slots=True)
class Address:
    """One database. The files (PEM) and ``server_name`` are for https only."""

    uri: str
    token: str = ""
    db_name: str = ""
    ca_bundle: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    server_name: str = ""

    @property
    def name(self) -> str:
        """For people: without a password that stands in it."""
        return str(lite_path_of(self.uri) or _USERINFO.sub("", self.uri))

    def verify(self) -> None:
        """Raises `ConfigError` for parts that do not go together, and for files that are not there."""
        if self.db_name and lite_path_of(self.uri) is not None:
            raise ConfigError(
                f"vector_store.milvus.db_name = {self.db_name!r}: Milvus Lite is used with one database only."
            )
        files = {name: getattr(self, name) for name in ("ca_bundle", "client_cert_file", "client_key_file")}
        given = [name for name, path in files.items() if path is not None]
        if (given or self.server_name) and not self.uri.startswith("https://"):
            raise ConfigError(
                f"vector_store.milvus.{(given or ['server_name'])[0]} is set, but the address {self.name} has no TLS.",
                hint="Write https:// in vector_store.milvus.uri.",
            )
        if given not in ([], ["ca_bundle"], list(files)):
            raise ConfigError(
                "vector_store.milvus: a client's certificate needs client_cert_file, client_key_file and ca_bundle."
            )
        for name in given:
            if not files[name].is_file():
                raise ConfigError(f"vector_store.milvus.{name} = {str(files[name])!r}: there is no such file.")

    def options(self) -> dict[str, Any]:
        """As `MilvusClient` names them."""
        found = {"server_name": self.server_name} if self.server_name else {}
        if self.client_cert_file is not None:
            names = {"ca_pem_path": self.ca_bundle, "client_pem_path": self.client_cert_file}
            found |= {name: str(path) for name, path in {**names, "client_key_path": self.client_key_file}.items()}
        elif self.ca_bundle is not None:
            found["server_pem_path"] = str(self.ca_bundle)
        return found
