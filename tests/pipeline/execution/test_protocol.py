"""Frames come out as they went in, however the pipe cuts them."""

from __future__ import annotations

import io
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.pipeline.execution.protocol import (
    Kind,
    frame,
    pickled_error,
    read_request,
    recording_frame,
    recording_of,
    take_frames,
    write_request,
)
from wavemill.stages.recording_stage import RecordingError

frames = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=40)))


@given(frames, st.integers(1, 50))
def test_frames_survive_any_cut(sent: list[tuple[Kind, bytes]], step: int) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in sent)
    buffer, got = bytearray(), []
    for start in range(0, len(stream), step):
        buffer.extend(stream[start : start + step])
        got.extend(take_frames(buffer))
    assert got == sent
    assert not buffer


def test_a_recording_is_told() -> None:
    ((kind, payload),) = take_frames(bytearray(recording_frame("0a1b", 1234)))
    assert kind is Kind.RECORDING
    assert recording_of(payload) == ("0a1b", 1234)


@pytest.mark.parametrize("cut", [1, 3, 9])
def test_a_request_that_breaks_off_is_the_end(cut: int) -> None:
    file = io.BytesIO()
    write_request(file, b"one")
    write_request(file, b"two")
    file = io.BytesIO(file.getvalue()[:-cut])
    assert read_request(file) == b"one"
    assert read_request(file) is None


def test_an_exception_that_cannot_travel_is_told_as_another() -> None:
    error = RecordingError("reason", "what happened")  # takes two arguments, keeps one
    error.add_note("where")
    told = pickle.loads(pickled_error(error))
    assert type(told) is RuntimeError
    assert "what happened" in str(told)
    assert told.__notes__ == ["where"]
    assert isinstance(pickle.loads(pickled_error(ValueError("x"))), ValueError)
