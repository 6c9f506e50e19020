"""What a supervisor and its child send each other over two pipes.

A request is (length, pickle). An answer is a sequence of frames: one byte of kind, length, payload.
Before each recording the child sends its id, so that it is known where a child dies.
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
    LOADING = b"L"  # an engine is being loaded
    WORKING = b"W"  # the engine is loaded; no recording has begun yet
    RECORDING = b"R"  # a recording begins: duration in ms, then its id
    PROGRESS = b"P"  # how far into the recording its rows are, ms
    RESULT = b"D"  # pickled
    ERROR = b"E"  # pickled exception; the child goes on


@dataclass(frozen=True)
class Request:
    """Run a task, or one recording of it only."""

    task: Task
    probe: str | None = None  # recording_id


def write_request(file: BinaryIO, request: bytes) -> None:
    """Write a request. Raises BrokenPipeError if the child has ended."""
    file.write(_LENGTH.pack(len(request)) + request)
    file.flush()


def read_request(file: BinaryIO) -> bytes | None:
    """Return the next request, or None if the supervisor has ended."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = file.read(length)
    return body if len(body) == length else None


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return _FRAME.pack(kind.value, len(payload)) + payload


def recording_frame(recording_id: str, duration_ms: int) -> bytes:
    """Return a RECORDING frame."""
    return frame(Kind.RECORDING, _DURATION.pack(duration_ms) + recording_id.encode())


def recording_of(payload: bytes) -> tuple[str, int]:
    """Return recording_id and duration in ms from a RECORDING frame."""
    (duration_ms,) = _DURATION.unpack_from(payload)
    return payload[_DURATION.size :].decode(), duration_ms


def progress_frame(done_ms: int) -> bytes:
    """Return a PROGRESS frame."""
    return frame(Kind.PROGRESS, _DURATION.pack(done_ms))


def progress_of(payload: bytes) -> int:
    """Return the ms in a PROGRESS frame."""
    (done_ms,) = _DURATION.unpack(payload)
    return int(done_ms)


def take_frames(buffer: bytearray) -> Iterator[tuple[Kind, bytes]]:
    """Yield the complete frames, and remove them from the buffer."""
    while len(buffer) >= _FRAME.size:
        kind, length = _FRAME.unpack_from(buffer)
        if len(buffer) < _FRAME.size + length:
            return
        payload = bytes(buffer[_FRAME.size : _FRAME.size + length])
        del buffer[: _FRAME.size + length]
        yield Kind(kind), payload


def pickled_error(error: Exception) -> bytes:
    """Pickle an exception; one that cannot be pickled becomes a RuntimeError."""
    try:
        found = pickle.dumps(error)
        pickle.loads(found)
    except Exception:
        stand_in = RuntimeError(f"{type(error).__name__}: {error}")
        stand_in.__notes__ = list(getattr(error, "__notes__", []))
        return pickle.dumps(stand_in)
    return found


def unpickled(payload: bytes) -> Any:
    """Return a payload of RESULT or ERROR; both ends are processes of this program."""
    return pickle.loads(payload)
