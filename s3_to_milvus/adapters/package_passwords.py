"""Opens packages that OpenDocument's manifest says are encrypted: ODT, ODS, ODP and HWPX.

Each encrypted member is compressed, then encrypted with AES in CBC mode by a key derived from the password (PBKDF2).
OpenDocument 1.2 part 3, section 3.4: https://docs.oasis-open.org/office/v1.2/os/OpenDocument-v1.2-os-part3.html
"""

import hashlib
import io
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s3_to_milvus.adapters.zipped import read_member
from s3_to_milvus.domain.document_limits import DocumentLimits
from s3_to_milvus.errors import EncryptedDocument, UnreadableDocument

__all__ = ["decrypted_package"]

_MANIFEST = "META-INF/manifest.xml"
_MAX_ITERATIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Lock:
    """How one member is encrypted. Its checksum is not looked at: that of HWPX is none of OpenDocument's; a password
    fits where the member unpacks to its declared size."""

    name: str
    size_bytes: int
    vector: bytes
    salt: bytes
    iterations: int
    key_bytes: int
    start_hash: str


def decrypted_package(
    archive: zipfile.ZipFile, passwords: Sequence[str], what: str, limits: DocumentLimits
) -> bytes | None:
    """The package without its password; None where it has none. ``limits`` hold for what it unpacks to, too.

    Raises `DocumentTooLarge`, `UnreadableDocument`, and `EncryptedDocument` where no password fits or the encryption is
    none of ours.
    """
    if _MANIFEST not in archive.namelist():
        return None
    locks = _locks(read_member(archive, _MANIFEST, what), what)
    if not locks:
        return None
    limits.check_container(sum(lock.size_bytes for lock in locks), len(locks))
    first = min(locks, key=lambda lock: lock.size_bytes)
    data = read_member(archive, first.name, what)
    password = next((each for each in passwords if _opened(data, first, each) is not None), None)
    if password is None:
        raise EncryptedDocument(f"The {what} is protected by a password.")
    return _rewritten(archive, {lock.name: lock for lock in locks}, password, what)


def _rewritten(archive: zipfile.ZipFile, locks: dict[str, _Lock], password: str, what: str) -> bytes:
    """The same members, open; the manifest, which speaks of encryption only, is left out."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as out:
        for member in archive.infolist():
            if member.is_dir() or member.filename == _MANIFEST:
                continue
            data = read_member(archive, member, what)
            if lock := locks.get(member.filename):
                opened = _opened(data, lock, password)
                if opened is None:
                    raise UnreadableDocument(f"The {what} is damaged: its part {lock.name} cannot be decrypted.")
                data = opened
            out.writestr(zipfile.ZipInfo(member.filename), data)
    return plain.getvalue()


def _locks(manifest: bytes, what: str) -> list[_Lock]:
    """Every encrypted member. Raises `EncryptedDocument` for encryption that is not read here."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root: Any = etree.fromstring(manifest, parser)
    except etree.LxmlError as exc:
        raise UnreadableDocument(f"The {what} is damaged: its manifest cannot be read.") from exc
    locks = []
    for entry in root.iter("{*}file-entry"):
        encrypted = next(entry.iterchildren("{*}encryption-data"), None)
        if encrypted is None:
            continue
        try:
            locks.append(_lock(entry, encrypted))
        except (KeyError, ValueError, TypeError) as exc:
            raise EncryptedDocument(
                f"The {what} is protected by a password, in a way that is not read.",
                hint="Upload a copy without a password.",
            ) from exc
    return locks


def _lock(entry: Any, encrypted: Any) -> _Lock:
    """One entry of the manifest. Raises KeyError, ValueError for what is not understood."""
    algorithm, derivation = (_attributes(encrypted, name) for name in ("algorithm", "key-derivation"))
    start = _attributes(encrypted, "start-key-generation")
    member = _named(entry)
    if not algorithm["algorithm-name"].endswith("#aes256-cbc"):
        raise ValueError(algorithm["algorithm-name"])
    if not derivation.get("key-derivation-name", "pbkdf2").lower().endswith("pbkdf2"):
        raise ValueError(derivation["key-derivation-name"])
    iterations = int(derivation["iteration-count"])
    if not 0 < iterations <= _MAX_ITERATIONS:
        raise ValueError(iterations)
    return _Lock(
        name=member["full-path"],
        size_bytes=int(member["size"]),
        vector=b64decode(algorithm["initialisation-vector"]),
        salt=b64decode(derivation["salt"]),
        iterations=iterations,
        key_bytes=int(derivation.get("key-size", 32)),
        start_hash=_hash_of(start.get("start-key-generation-name", "sha1")),
    )


def _attributes(element: Any, name: str) -> dict[str, str]:
    """The attributes of a child by their local names; none where there is no such child."""
    return _named(next(element.iterchildren(f"{{*}}{name}"), None))


def _named(element: Any) -> dict[str, str]:
    return {} if element is None else {key.rpartition("}")[2]: value for key, value in element.attrib.items()}


def _hash_of(name: str) -> str:
    """Names differ: ``SHA1``, ``…#sha1``, ``…#sha256``."""
    return "sha256" if "sha256" in name.lower() else "sha1"


def _opened(data: bytes, lock: _Lock, password: str) -> bytes | None:
    """The plain bytes of a member; None where the password does not fit."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    start = hashlib.new(lock.start_hash, password.encode("utf-8", "surrogatepass")).digest()
    key = hashlib.pbkdf2_hmac("sha1", start, lock.salt, lock.iterations, lock.key_bytes)
    try:
        decryptor = Cipher(algorithms.AES(key), modes.CBC(lock.vector)).decryptor()
        packed = decryptor.update(data[: len(data) // 16 * 16]) + decryptor.finalize()
    except ValueError:
        return None
    try:
        plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, lock.size_bytes + 1)
    except zlib.error:
        return None
    return plain if len(plain) == lock.size_bytes else None
