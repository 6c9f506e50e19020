"""ONNX files as bytes: read their weights as data, write small networks of our own.

An ONNX file is one protobuf message (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). The
package `onnx` is not needed for the few fields that count here; their numbers stand below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Attribute = int | Sequence[int]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protobuf
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_WEIGHT, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 4, 8, 9
_ELEMENT = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_IR, _OPSET = 7, 13
_INT, _INTS = 2, 7  # types of attributes


@dataclass(frozen=True)
class Value:
    """An input or output of a network; None in `shape`: any size."""

    name: str
    dtype: str
    shape: Sequence[int | None]


def read_weights(content: bytes) -> dict[str, np.ndarray]:
    """Return the float32 weights of an ONNX file by name. Raises ValueError if it is none."""
    try:
        graphs = [value for number, value in _fields(content) if number == _MODEL_GRAPH]
        tensors = [value for number, value in _fields(graphs[0]) if number == _GRAPH_WEIGHT]
        return dict(found for tensor in tensors if (found := _weights(tensor)) is not None)
    except (IndexError, TypeError, UnicodeDecodeError, KeyError) as error:
        raise ValueError(f"not an ONNX file: {error!r}") from error


def node(operator: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> bytes:
    """Return one step of a network: `output` from `inputs`."""
    parts = [_field(1, name) for name in inputs] + [_field(2, output), _field(4, operator)]
    for name, value in attributes.items():
        typed = (
            _field(3, value) + _field(20, _INT)
            if isinstance(value, int)
            else b"".join(_field(8, item) for item in value) + _field(20, _INTS)
        )
        parts.append(_field(5, _field(1, name) + typed))
    return b"".join(parts)


def network(
    nodes: Sequence[bytes], weights: Mapping[str, np.ndarray], source: Value, result: Value
) -> bytes:
    """Return an ONNX file of `nodes` in order, from `source` to `result`."""
    graph = [_field(_GRAPH_NODE, step) for step in nodes]
    graph.append(_field(_GRAPH_NAME, "network"))
    graph += [_field(_GRAPH_WEIGHT, _tensor(name, array)) for name, array in weights.items()]
    graph += [_field(_GRAPH_INPUT, _value(source)), _field(_GRAPH_OUTPUT, _value(result))]
    return (
        _field(_MODEL_IR, _IR)
        + _field(_MODEL_GRAPH, b"".join(graph))
        + _field(_MODEL_OPSET, _field(1, "") + _field(2, _OPSET))
    )


def _weights(tensor: int | bytes) -> tuple[str, np.ndarray] | None:
    """Return name and content of a float tensor, None for another type."""
    name, kind, raw = "", 0, b""
    shape: list[int] = []
    for number, value in _fields(tensor):
        if number == _TENSOR_SHAPE:
            shape += [value] if isinstance(value, int) else _varints(value)
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_NAME and isinstance(value, bytes):
            name = value.decode()
        elif number in (_TENSOR_FLOATS, _TENSOR_RAW) and isinstance(value, bytes):
            raw += value  # both are little-endian float32
    if kind != _ELEMENT["float32"]:
        return None
    return name, np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape)


def _fields(message: int | bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field; a varint as int, all else as bytes."""
    if isinstance(message, int):
        raise TypeError("a number where a message is expected")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}[wire]
        if at + size > len(message):
            raise IndexError("a field ends after the file")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _varints(packed: bytes) -> list[int]:
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    return values


def _number(value: int) -> bytes:
    written = bytearray()
    value &= (1 << 64) - 1  # negative numbers have ten bytes
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _number(number << 3 | _VARINT) + _number(value)
    content = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | _BYTES) + _number(len(content)) + content


def _tensor(name: str, array: np.ndarray) -> bytes:
    shape = b"".join(_field(_TENSOR_SHAPE, size) for size in array.shape)
    content = array.astype(array.dtype.newbyteorder("<")).tobytes()
    kind = _ELEMENT[array.dtype.name]
    return (
        shape
        + _field(_TENSOR_TYPE, kind)
        + _field(_TENSOR_NAME, name)
        + _field(_TENSOR_RAW, content)
    )


def _value(value: Value) -> bytes:
    """Return a ValueInfoProto: a name, and a TypeProto with a tensor's type and shape."""
    sizes = b"".join(
        _field(1, _field(1, size) if size is not None else _field(2, f"{value.name}_{axis}"))
        for axis, size in enumerate(value.shape)
    )
    tensor = _field(1, _ELEMENT[value.dtype]) + _field(2, sizes)
    return _field(1, value.name) + _field(2, _field(1, tensor))
