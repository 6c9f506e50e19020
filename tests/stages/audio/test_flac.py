"""FLAC there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wavemill.stages.audio.flac import decode_flac, encode_flac


@settings(deadline=None)
@given(
    arrays(np.int16, st.integers(1, 5000), elements=st.integers(-32768, 32767)),
    st.sampled_from([8000, 16_000, 44_100, 48_000]),
)
def test_sixteen_bit_values_come_back_exactly(values: np.ndarray, rate: int) -> None:
    audio = values.astype(np.float32) / 32768
    decoded, found = decode_flac(encode_flac(audio, rate))
    assert found == rate
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, audio)


def test_clips_at_full_scale() -> None:
    decoded, _ = decode_flac(encode_flac(np.array([3.0, -3.0, 1.0], np.float32), 8000))
    np.testing.assert_array_equal(decoded, np.array([32767, -32768, 32767]) / np.float32(32768))


def test_refuses_nothing_at_all() -> None:
    with pytest.raises(ValueError, match="no samples"):
        encode_flac(np.zeros(0, np.float32), 8000)


def test_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        encode_flac(np.array([0.0, np.nan], np.float32), 8000)
