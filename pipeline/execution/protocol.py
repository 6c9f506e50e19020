"""What a supervisor and its child say to each other, over two pipes.

Requests go down as (length, pickle). Answers come up as frames: one byte of kind, length, payload.
The child says before each recording which one it starts, so that its death is charged exactly.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, BinaryIO

from wavemill.pipeline.task import Task

_LENGTH = struct.Struct("<Q")
_FRAME = struct.Struct("<cQ")
_DURATION = struct.Struct("<Q")


class Kind(Enum):
    """Kinds of frames."""

    READY = b"Y"  # the graph is made
    LOADING = b"L"  # an engine, from here on
    WORKING = b"W"  # it is loaded; no recording has begun yet
    RECORDING = b"R"  # this one begins: duration in ms, then its id
    RESULT = b"D"  # pickled
    ERROR = b"E"  # pickled exception: the child lives on


@dataclass(frozen=True)
class Request:
    """Run a task, or only try one recording of it."""

    task: Task
    probe: str | None = None  # recording_id


def write_request(file: BinaryIO, request: bytes) -> None:
    """Raises BrokenPipeError when the child is gone."""
    file.write(_LENGTH.pack(len(request)) + request)
    file.flush()


def read_request(file: BinaryIO) -> bytes | None:
    """Return the next request, or None when the supervisor is gone."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = file.read(length)
    return body if len(body) == length else None


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    return _FRAME.pack(kind.value, len(payload)) + payload


def recording_frame(recording_id: str, duration_ms: int) -> bytes:
    return frame(Kind.RECORDING, _DURATION.pack(duration_ms) + recording_id.encode())


def recording_of(payload: bytes) -> tuple[str, int]:
    """Return recording_id and duration in ms from a RECORDING frame."""
    (duration_ms,) = _DURATION.unpack_from(payload)
    return payload[_DURATION.size :].decode(), duration_ms


def take_frames(buffer: bytearray) -> Iterator[tuple[Kind, bytes]]:
    """Yield, and remove from the buffer, the frames that are complete."""
    while len(buffer) >= _FRAME.size:
        kind, length = _FRAME.unpack_from(buffer)
        if len(buffer) < _FRAME.size + length:
            return
        payload = bytes(buffer[_FRAME.size : _FRAME.size + length])
        del buffer[: _FRAME.size + length]
        yield Kind(kind), payload


def pickled_error(error: Exception) -> bytes:
    """Pickle an exception; one that does not survive that becomes a RuntimeError."""
    try:
        found = pickle.dumps(error)
        pickle.loads(found)
    except Exception:
        stand_in = RuntimeError(f"{type(error).__name__}: {error}")
        stand_in.__notes__ = list(getattr(error, "__notes__", []))
        return pickle.dumps(stand_in)
    return found


def unpickled(payload: bytes) -> Any:
    return pickle.loads(payload)
