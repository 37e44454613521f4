"""Opens packages that OpenDocument's manifest says are encrypted: ODT, ODS, ODP and HWPX.

Each encrypted member is compressed, then encrypted by a key derived from the password: AES in CBC mode, Blowfish in
OpenDocument 1.0 and 1.1, both with PBKDF2. OpenDocument 1.2 part 3, section 3.4:
https://docs.oasis-open.org/office/v1.2/os/OpenDocument-v1.2-os-part3.html

LibreOffice 24.8 and later encrypts the package as a whole, the member ``encrypted-package``, with AES in GCM mode and
Argon2id: https://wiki.documentfoundation.org/ReleaseNotes/24.8
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
_WHOLE = "encrypted-package"
_MAX_ITERATIONS = 1_000_000
_MAX_PASSES, _MAX_LANES, _MAX_MEMORY_KIB = 16, 16, 1 << 18
_VECTOR_BYTES, _TAG_BYTES = 12, 16
_CIPHERS = {"#aes256-cbc": "cbc", "#aes256-gcm": "gcm", "blowfish cfb": "blowfish", "#blowfish": "blowfish"}


@dataclass(frozen=True, slots=True)
class _Lock:
    """How one member is encrypted. Its checksum is not looked at: that of HWPX is none of OpenDocument's; a password
    fits where the member unpacks to its declared size."""

    name: str
    size_bytes: int
    cipher: str
    vector: bytes
    salt: bytes
    iterations: int
    key_bytes: int
    start_hash: str
    memory_kib: int = 0
    lanes: int = 0

    def key(self, password: str) -> bytes:
        """The key of the cipher: by Argon2id where it asks for memory, else by PBKDF2."""
        start = hashlib.new(self.start_hash, password.encode("utf-8", "surrogatepass")).digest()
        if not self.memory_kib:
            return hashlib.pbkdf2_hmac("sha1", start, self.salt, self.iterations, self.key_bytes)
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        derivation = Argon2id(
            salt=self.salt,
            length=self.key_bytes,
            iterations=self.iterations,
            lanes=self.lanes,
            memory_cost=self.memory_kib,
        )
        return derivation.derive(start)


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
    whole = next((lock for lock in locks if lock.name == _WHOLE), None)
    first = whole or min(locks, key=lambda lock: lock.size_bytes)
    try:
        data = read_member(archive, first.name, what)
    except KeyError as exc:
        raise UnreadableDocument(f"The {what} is damaged: an encrypted part is missing.") from exc
    for password in passwords:
        if (plain := _opened(data, first, password)) is not None:
            break
    else:
        raise EncryptedDocument(f"The {what} is protected by a password.")
    if whole:
        return plain
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
        except (KeyError, ValueError) as exc:
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
    name = algorithm["algorithm-name"].lower()
    cipher = next((each for ending, each in _CIPHERS.items() if name.endswith(ending)), None)
    if cipher is None:
        raise ValueError(name)
    iterations, memory_kib, lanes = _costs(derivation)
    return _Lock(
        name=member["full-path"],
        size_bytes=max(0, int(member["size"])),
        cipher=cipher,
        vector=b64decode(algorithm["initialisation-vector"]),
        salt=b64decode(derivation["salt"]),
        iterations=iterations,
        memory_kib=memory_kib,
        lanes=lanes,
        key_bytes=_within(derivation.get("key-size", "16" if cipher == "blowfish" else "32"), 56),
        start_hash=_hash_of(start.get("start-key-generation-name", "sha1")),
    )


def _costs(derivation: dict[str, str]) -> tuple[int, int, int]:
    """Iterations, memory in KiB and lanes of a key derivation; memory and lanes are 0 for PBKDF2."""
    name = derivation.get("key-derivation-name", "pbkdf2").lower()
    if name.endswith("argon2id"):
        passes = _within(derivation["argon2-iterations"], _MAX_PASSES)
        lanes = _within(derivation["argon2-lanes"], _MAX_LANES)
        return passes, _within(derivation["argon2-memory"], _MAX_MEMORY_KIB), lanes
    if not name.endswith("pbkdf2"):
        raise ValueError(name)
    return _within(derivation.get("iteration-count", "1024"), _MAX_ITERATIONS), 0, 0


def _within(text: str, limit: int) -> int:
    """A number from 1 to a limit: what a file asks for costs time and memory. Raises ValueError."""
    number = int(text)
    if not 0 < number <= limit:
        raise ValueError(number)
    return number


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
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm

    try:
        packed = _decrypted(data, lock, lock.key(password))
        plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, lock.size_bytes + 1)
    except (ValueError, InvalidTag, UnsupportedAlgorithm, zlib.error):  # some builds of OpenSSL leave methods out
        return None
    return plain if len(plain) == lock.size_bytes else None


def _decrypted(data: bytes, lock: _Lock, key: bytes) -> bytes:
    """What a member holds under its encryption, still compressed. Raises ValueError, `InvalidTag`."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if lock.cipher == "blowfish":
        return _blowfish(data, lock.vector, key)
    if lock.cipher == "gcm":  # the vector stands before, the tag behind
        if len(data) < _VECTOR_BYTES + _TAG_BYTES:
            raise ValueError(len(data))
        vector, body, tag = data[:_VECTOR_BYTES], data[_VECTOR_BYTES:-_TAG_BYTES], data[-_TAG_BYTES:]
        opener = Cipher(algorithms.AES(key), modes.GCM(vector, tag)).decryptor()
        return opener.update(body) + opener.finalize()
    decryptor = Cipher(algorithms.AES(key), modes.CBC(lock.vector)).decryptor()
    return decryptor.update(data[: len(data) // 16 * 16]) + decryptor.finalize()


def _blowfish(data: bytes, vector: bytes, key: bytes) -> bytes:
    """Blowfish in CFB mode: each block is covered by the one before it, encrypted.

    Blocks of eight bytes, not bits, though LibreOffice calls it CFB 8 (sal/rtl/cipher.cxx). Built from single blocks
    since versions of the library keep CFB in different places.
    """
    from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    if len(vector) != 8:
        raise ValueError(len(vector))
    before = vector + data
    encryptor = Cipher(Blowfish(key), modes.ECB()).encryptor()  # noqa: S305 - the file says how it is encrypted
    cover = encryptor.update(before[: (len(data) + 7) // 8 * 8])[: len(data)]
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(cover, "big")
    return mixed.to_bytes(len(data), "big")
