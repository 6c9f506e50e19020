"""The network of DNSMOS, cut where windows can share it: a map over time, and a score of a window.

Layers of the published model (its weights are read as data, its graph is rebuilt here): the log
power of a learnt filter bank (320 samples every 160), four convolutions of 3 x 3 at 100 frames a
second, a pooling by two, three more convolutions with a pooling by two before the last two, the
maximum over time and frequency, three dense layers. The first four convolutions do 98 % of the
arithmetic, and nothing is normalised over the window; so they are computed once for all windows
that begin on an even frame. A window differs from the rest of its map only within four frames of
its borders, where the published model sees zeros outside.

In int8 the convolutions after the first one have weights of 7 bits (products of two of them with
activations of 8 bits fit 16 bits, so that processors without wider sums give the same integers)
with one scale per output channel, and activations of 8 bits with one scale per layer. The first
convolution is float32, whose last bits depend on the processor, before its result is rounded to 8
bits: so int8 is not the same to the last bit on all processors, as float32 is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.score_audio.onnx_format import Value, network, node, read_weights

FRAME, HOP = 320, 160  # samples
FRAMES = 900  # of a window
ROW = 2  # frames per row of the map
EDGE = 4  # frames at a window's border that its neighbours change: one per shared convolution
BANDS, SHARED_BANDS, SHARED_CHANNELS = 161, 80, 32
_SHARED, _LAYERS = 4, 7
_POOLED = {3, 4, 5}  # convolutions after which a maximum over 2 x 2 is taken
_LEAST_POWER = 1e-12
# Largest activation after each convolution, over meetings, digits, read speech, music and noise
# that benchmarks/dnsmos.py does not measure with: 255 in int8. Larger ones are cut off.
RANGES = (5.738, 11.52, 9.803, 4.428, 2.613, 3.174, 2.391)
_LARGEST = 63  # of a weight in int8
_CONVOLUTION = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
_POOLING = {"kernel_shape": (2, 2), "strides": (2, 2)}


@dataclass
class _Graph:
    """A network as it grows: each step goes from the last result to a new one."""

    nodes: list[bytes] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    last: str = "source"

    def step(self, operator: str, *more: str, **attributes: Any) -> None:
        result = f"step{len(self.nodes)}"
        self.nodes.append(node(operator, (self.last, *more), result, **attributes))
        self.last = result

    def weight(self, array: np.ndarray) -> str:
        name = f"weight{len(self.weights)}"
        self.weights[name] = array
        return name

    def constant(self, value: float) -> str:
        return self.weight(np.array(value, np.float32))

    def file(self, source: Value, result: Value) -> bytes:
        """Return the network as an ONNX file."""
        nodes = [*self.nodes, node("Identity", (self.last,), result.name)]
        return network(nodes, self.weights, source, result)


class DnsmosNetwork:
    """Both parts of the network on one thread, in int8 or float32."""

    def __init__(self, content: bytes, *, int8: bool) -> None:
        """Rebuild the network of an ONNX file. Raises EngineUnavailable, ValueError, KeyError."""
        weights = _named(read_weights(content))
        self.dtype = np.dtype(np.uint8 if int8 else np.float32)
        self._shared = _session(_shared(weights, int8))
        self._score = _session(_score(weights, int8))

    def shared(self, frames: np.ndarray) -> np.ndarray:
        """Return the map of `frames`: float32 (clips, frames, FRAME), an even number of frames.

        The result has self.dtype and the shape (clips, frames // ROW, SHARED_BANDS,
        SHARED_CHANNELS). Before and after the frames the network sees zeros.
        """
        found: np.ndarray = self._shared.run(None, {"source": frames})[0]
        return found

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return float32 (windows, 3): speech, background, overall on the network's own scale.

        `windows`: the map of each, (windows, FRAMES // ROW, SHARED_BANDS, SHARED_CHANNELS).
        """
        found: np.ndarray = self._score.run(None, {"source": windows})[0]
        return found


def _named(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights by short names, from the names that Keras gave them."""
    named = {
        part: found[f"time2freq/stft-{part}/kernel:0"][..., 0].T.copy() for part in ("real", "imag")
    }
    for layer in range(_LAYERS):
        name = f"conv2d_{layer}" if layer else "conv2d"
        named[f"kernel{layer}"] = found[f"{name}/kernel:0"]
        named[f"bias{layer}"] = found[f"{name}/bias:0"]
    for layer, name in enumerate(("dense", "dense_1", "dense_3")):
        path = f"mos_estimator_logpow/{name}"
        named[f"matrix{layer}"] = found[f"{path}/MatMul/ReadVariableOp/resource:0"]
        named[f"offset{layer}"] = found[f"{path}/BiasAdd/ReadVariableOp/resource:0"]
    return named


def _shared(weights: dict[str, np.ndarray], int8: bool) -> bytes:
    graph = _Graph()
    _log_power(graph, weights)
    graph.step("Unsqueeze", graph.weight(np.array([1], np.int64)))  # one channel
    if int8:
        _first_in_int8(graph, weights)
    for layer in range(1 if int8 else 0, _SHARED):
        _convolve(graph, weights, layer, int8)
    graph.step("Transpose", perm=(0, 2, 3, 1))
    return graph.file(
        Value("source", "float32", (None, None, FRAME)),
        Value(
            "result", "uint8" if int8 else "float32", (None, None, SHARED_BANDS, SHARED_CHANNELS)
        ),
    )


def _log_power(graph: _Graph, weights: dict[str, np.ndarray]) -> None:
    """Add the decadic logarithm of the power in each band."""
    squares = []
    for part in ("real", "imag"):
        graph.last = "source"
        graph.step("MatMul", graph.weight(weights[part]))
        graph.step("Mul", graph.last)
        squares.append(graph.last)
    graph.step("Add", squares[0])
    graph.step("Max", graph.constant(_LEAST_POWER))
    graph.step("Log")
    graph.step("Div", graph.constant(np.log(10)))


def _first_in_int8(graph: _Graph, weights: dict[str, np.ndarray]) -> None:
    """Add the first convolution in float32, its result in int8.

    It is a product of matrices over the nine neighbours of each point, and a tenth input that is
    one: so it leaves the channels side by side, as the convolutions in int8 want them.
    """
    neighbours = np.zeros((10, 1, 3, 3), np.float32)
    neighbours.reshape(10, 9)[:9] = np.eye(9)
    one = np.eye(10, dtype=np.float32)[9]
    graph.step("Conv", graph.weight(neighbours), graph.weight(one), **_CONVOLUTION)
    graph.step("Transpose", perm=(0, 2, 3, 1))
    kernel, bias = weights["kernel0"], weights["bias0"]
    graph.step("MatMul", graph.weight(np.vstack([kernel.reshape(len(kernel), 9).T, bias])))
    graph.step("QuantizeLinear", graph.constant(_scale(0)), _zero(graph, np.uint8))
    graph.step("Transpose", perm=(0, 3, 1, 2))


def _score(weights: dict[str, np.ndarray], int8: bool) -> bytes:
    graph = _Graph()
    graph.step("Transpose", perm=(0, 3, 1, 2))
    for layer in range(_SHARED, _LAYERS):
        _convolve(graph, weights, layer, int8)
    graph.step("ReduceMax", axes=(2, 3), keepdims=0)
    if int8:
        graph.step("DequantizeLinear", graph.constant(_scale(_LAYERS - 1)), _zero(graph, np.uint8))
    for layer in range(3):
        graph.step("MatMul", graph.weight(weights[f"matrix{layer}"]))
        graph.step("Add", graph.weight(weights[f"offset{layer}"]))
        if layer < 2:
            graph.step("Relu")
    return graph.file(
        Value(
            "source", "uint8" if int8 else "float32", (None, None, SHARED_BANDS, SHARED_CHANNELS)
        ),
        Value("result", "float32", (None, 3)),
    )


def _convolve(graph: _Graph, weights: dict[str, np.ndarray], layer: int, int8: bool) -> None:
    """Add a convolution, its ReLU, and the pooling if there is one."""
    kernel, bias = weights[f"kernel{layer}"], weights[f"bias{layer}"]
    if int8:
        # Below zero int8 is cut off at the zero point, which is what ReLU does.
        scale = np.abs(kernel).max(axis=(1, 2, 3)) / _LARGEST
        whole = np.rint(kernel / scale[:, None, None, None]).astype(np.int8)
        sums = np.rint(bias / (scale * _scale(layer - 1))).astype(np.int32)
        graph.step(
            "QLinearConv",
            graph.constant(_scale(layer - 1)),
            _zero(graph, np.uint8),
            graph.weight(whole),
            graph.weight(scale.astype(np.float32)),
            graph.weight(np.zeros(len(scale), np.int8)),
            graph.constant(_scale(layer)),
            _zero(graph, np.uint8),
            graph.weight(sums),
            **_CONVOLUTION,
        )
    else:
        graph.step("Conv", graph.weight(kernel), graph.weight(bias), **_CONVOLUTION)
        graph.step("Relu")
    if layer in _POOLED:
        graph.step("MaxPool", **_POOLING)


def _scale(layer: int) -> float:
    return RANGES[layer] / 255


def _zero(graph: _Graph, dtype: type) -> str:
    return graph.weight(np.array(0, dtype))


def _session(content: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineUnavailable(
            "package 'onnxruntime' is not installed; remedy: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
