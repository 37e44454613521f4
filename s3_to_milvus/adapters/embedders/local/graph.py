"""Builds the ONNX graph of the model from its 4-bit weights. Run as a program: its memory leaves with it.

``python graph.py WEIGHTS TARGET``. What is inside was chosen by measurement (``bench/embedding.py``):
- the word table stays in its 4-bit blocks (`GatherBlockQuantized`), so the file has 83 MB instead of 215;
- the maps are int8 with one scale per output and one dynamic scale for the input (`DynamicQuantizeMatMul`). 7 bits of
  the 8 are used, so that processors without VNNI, whose 16-bit sums would overflow, give the same result;
- the map behind GELU has inputs with outliers that one scale cannot hold: it is quantised in blocks of 128
  (`MatMulNBits`). This alone lifts the cosine to the exact model from .995 to .999.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from s3_to_milvus.adapters.embedders.local.weights import BLOCK, Weights, read_weights

__all__ = ["INPUT", "OUTPUT", "build"]

INPUT = "input_ids"
OUTPUT = "pooled"
_VENDOR = "com.microsoft"
_SEVEN_BITS = 63
_EIGHT_BITS = 127
_OUTLIER_BLOCK = 128

Floats = NDArray[np.float32]


class _Graph:
    """Nodes and constants in the order they are made; every method gives the name of its result."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], result: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [result], name=result, domain=domain, **attributes))
        return result

    def norm(self, source: str, name: str, result: str) -> str:
        width = self.weights.width
        scale = self.constant(f"{result}.scale", self.weights.floats(f"{name}.w", width))
        shift = self.constant(f"{result}.shift", self.weights.floats(f"{name}.b", width))
        epsilon = self.weights.epsilon
        return self.node("LayerNormalization", [source, scale, shift], result, axis=-1, epsilon=epsilon)

    def linear(self, source: str, name: str, outputs: int, inputs: int) -> str:
        """One scale per output, 7 bits of int8."""
        matrix = self.weights.floats(f"{name}.w", outputs, inputs)
        scales = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-12)) / np.float32(_SEVEN_BITS)
        values = [
            self.constant(f"{name}.int8", np.round(matrix / scales[:, None]).astype(np.int8).T),
            self.constant(f"{name}.scales", scales),
            self.constant(f"{name}.zeros", np.zeros(outputs, np.int8)),
            self.constant(f"{name}.bias", self.weights.floats(f"{name}.b", outputs)),
        ]
        return self.node("DynamicQuantizeMatMul", [source, *values], name, _VENDOR)

    def outlier_linear(self, source: str, name: str, outputs: int, inputs: int) -> str:
        """One scale per block of 128 inputs, on both sides."""
        matrix = self.weights.floats(f"{name}.w", outputs, inputs).reshape(outputs, -1, _OUTLIER_BLOCK)
        scales = np.maximum(np.abs(matrix).max(axis=2), np.float32(1e-12)) / np.float32(_EIGHT_BITS)
        values = (np.round(matrix / scales[:, :, None]) + 128).astype(np.uint8)
        names = [
            self.constant(f"{name}.blocks", values),
            self.constant(f"{name}.scales", scales),
            "",
            "",
            self.constant(f"{name}.bias", self.weights.floats(f"{name}.b", outputs)),
        ]
        sizes = {"K": inputs, "N": outputs, "bits": 8, "block_size": _OUTLIER_BLOCK, "accuracy_level": 4}
        return self.node("MatMulNBits", [source, *names], name, _VENDOR, **sizes)

    def embeddings(self) -> str:
        """Words + positions + the one type there is, normalised."""
        shape = self.weights
        words = shape.q4("emb.word")
        nibbles = words.nibbles ^ 8  # (n - 8) as a signed nibble
        packed = nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)
        size = [shape.vocabulary, shape.width]
        self.constants.append(helper.make_tensor("words", TensorProto.INT4, size, packed.tobytes(), raw=True))
        scales = self.constant("words.scales", words.scales.reshape(shape.vocabulary, -1))
        how = {"gather_axis": 0, "quantize_axis": 1, "block_size": BLOCK}
        self.node("GatherBlockQuantized", ["words", INPUT, scales], "words.rows", _VENDOR, **how)
        positions = shape.floats("emb.pos", shape.positions, shape.width)
        self.constant("positions", positions + shape.floats("emb.type", shape.types, shape.width)[:1])
        self.constant("zero", np.array([0], np.int64))
        self.node("Shape", [INPUT], "length", start=1, end=2)
        self.node("Slice", ["positions", "zero", "length", "zero"], "positions.rows")
        return self.norm(self.node("Add", ["words.rows", "positions.rows"], "embedded"), "emb.ln", "embedded.norm")

    def layer(self, prefix: str, rows: str) -> str:
        """One transformer layer."""
        width, inner = self.weights.width, self.weights.inner
        three = [self.linear(rows, prefix + name, width, width) for name in "qkv"]
        mixed = self.node("MultiHeadAttention", three, prefix + "mixed", _VENDOR, num_heads=self.weights.heads)
        attended = self.node("Add", [self.linear(mixed, prefix + "ao", width, width), rows], prefix + "attended")
        rows = self.norm(attended, prefix + "aln", prefix + "attended.norm")
        gelu = self.node("Gelu", [self.linear(rows, prefix + "fi", inner, width)], prefix + "gelu")
        outer = self.node("Add", [self.outlier_linear(gelu, prefix + "fo", width, inner), rows], prefix + "outer")
        return self.norm(outer, prefix + "oln", prefix + "outer.norm")


def build(weights: Weights) -> Any:
    """The model: int64 ``input_ids`` (1, length) to float32 ``pooled`` (1, width), the mean of the last rows."""
    graph = _Graph(weights)
    rows = graph.embeddings()
    for number in range(weights.layers):
        rows = graph.layer(f"l{number}.", rows)
    graph.node("ReduceMean", [rows, graph.constant("rows.axis", np.array([1], np.int64))], OUTPUT, keepdims=0)
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.INT64, ["batch", "length"])]
    outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", weights.width])]
    body = helper.make_graph(graph.nodes, "multilingual-e5-small", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(_VENDOR, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=10)


if __name__ == "__main__":
    onnx.save(build(read_weights(Path(sys.argv[1]))), sys.argv[2])
