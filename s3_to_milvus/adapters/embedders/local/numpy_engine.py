"""The model in plain numpy: about half as fast as ONNX Runtime, and needs nothing else."""

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3_to_milvus.adapters.embedders.local.weights import BLOCK, Weights

__all__ = ["NumpyEngine"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Layer:
    """Matrices as (in, out), so that ``rows @ matrix`` is the layer's map."""

    qkv: tuple[Floats, Floats]
    attended: tuple[Floats, Floats]
    attended_norm: tuple[Floats, Floats]
    inner: tuple[Floats, Floats]
    outer: tuple[Floats, Floats]
    outer_norm: tuple[Floats, Floats]


class NumpyEngine:
    """Mean of the last layer's rows for one window of token ids. The word table stays 4-bit in the file."""

    name = "numpy"

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        width = weights.width
        self._words = weights.raw_blocks("emb.word").reshape(weights.vocabulary, width // BLOCK, -1)
        positions = weights.floats("emb.pos", weights.positions, width)
        self._positions = positions + weights.floats("emb.type", weights.types, width)[0]
        self._norm = (weights.floats("emb.ln.w", width), weights.floats("emb.ln.b", width))
        self._layers = [_layer(weights, f"l{number}.") for number in range(weights.layers)]
        _use_one_blas_thread()

    def pooled(self, ids: list[int]) -> Floats:
        """float32 of shape (width,), not normalised."""
        rows = self._words_of(np.asarray(ids)) + self._positions[: len(ids)]
        rows = self._normed(rows, self._norm)
        for layer in self._layers:
            rows = self._through(layer, rows)
        mean: Floats = rows.mean(axis=0)
        return mean

    def _words_of(self, ids: NDArray[np.int64]) -> Floats:
        raw = self._words[ids]
        scales = raw[..., :2].copy().view(np.float16).astype(np.float32)
        nibbles = np.concatenate([raw[..., 2:] & 15, raw[..., 2:] >> 4], axis=-1)
        words: Floats = ((nibbles.astype(np.float32) - 8) * scales).reshape(len(ids), -1)
        return words

    def _through(self, layer: _Layer, rows: Floats) -> Floats:
        length, width = rows.shape
        heads = self._weights.heads
        mixed = (rows @ layer.qkv[0] + layer.qkv[1]).reshape(length, 3, heads, width // heads).transpose(1, 2, 0, 3)
        query, key, value = mixed
        scores = query @ key.transpose(0, 2, 1)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        attended = (scores @ value).transpose(1, 0, 2).reshape(length, width)
        rows = self._normed(attended @ layer.attended[0] + layer.attended[1] + rows, layer.attended_norm)
        inner = _gelu(rows @ layer.inner[0] + layer.inner[1])
        return self._normed(inner @ layer.outer[0] + layer.outer[1] + rows, layer.outer_norm)

    def _normed(self, rows: Floats, norm: tuple[Floats, Floats]) -> Floats:
        rows = rows - rows.mean(axis=1, keepdims=True)
        variance = np.einsum("ij,ij->i", rows, rows) / rows.shape[1]
        rows *= (1 / np.sqrt(variance + np.float32(self._weights.epsilon)))[:, None]
        return rows * norm[0] + norm[1]


def _use_one_blas_thread() -> None:
    """Numpy's OpenBLAS splits each small product over all processors and spins: a third of the speed under load.

    Our callers bring their own threads. Where numpy is built otherwise, nothing is changed.
    """
    for library in (Path(np.__file__).parents[1] / "numpy.libs").glob("libscipy_openblas*"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).scipy_openblas_set_num_threads64_(1)


def _layer(weights: Weights, prefix: str) -> _Layer:
    width, inner = weights.width, weights.inner

    def linear(name: str, outputs: int, inputs: int) -> tuple[Floats, Floats]:
        matrix = weights.floats(f"{prefix}{name}.w", outputs, inputs)
        return np.ascontiguousarray(matrix.T), weights.floats(f"{prefix}{name}.b", outputs)

    def norm(name: str) -> tuple[Floats, Floats]:
        return weights.floats(f"{prefix}{name}.w", width), weights.floats(f"{prefix}{name}.b", width)

    three = [linear(name, width, width) for name in "qkv"]
    matrix = np.concatenate([matrix for matrix, _ in three], axis=1)
    bias = np.concatenate([bias for _, bias in three])
    scale = np.float32((width // weights.heads) ** -0.5)  # folded into the queries, once
    matrix[:, :width] *= scale
    bias[:width] *= scale
    return _Layer(
        (matrix, bias),
        linear("ao", width, width),
        norm("aln"),
        linear("fi", inner, width),
        linear("fo", width, inner),
        norm("oln"),
    )


def _gelu(values: Floats) -> Floats:
    """GELU by the error function of Abramowitz and Stegun 7.1.26 (error below 1.5e-7): numpy has none."""
    size = np.abs(values) * np.float32(0.70710678)
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = np.float32(1.061405429) * t - np.float32(1.453152027)
    for constant in (1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(constant)
    error = 1 - series * t * np.exp(-size * size)
    result: Floats = np.float32(0.5) * values * (1 + np.copysign(error, values))
    return result
