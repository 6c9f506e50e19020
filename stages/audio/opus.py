"""Small audio for listening: Opus in WebM, which every browser plays."""

from __future__ import annotations

import io

import numpy as np

from wavemill.stages.audio.resample import resample

BIT_RATE = 32_000  # mono speech and its noise sound as they are
RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # that Opus knows


def encode_opus(audio: np.ndarray, sample_rate: int) -> bytes:
    """Encode float32 mono audio (samples,), full scale 1.0, as a WebM file that states its length.

    The same samples give the same bytes. Raises ValueError for no samples.
    """
    import av

    if not len(audio):
        raise ValueError("there are no samples to encode")
    rate = next((rate for rate in RATES if rate >= sample_rate), RATES[-1])
    samples = np.clip(resample(audio, sample_rate, rate), -1, 1).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", "webm", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate, layout="mono", bit_rate=BIT_RATE)
        stream.codec_context.format = "flt"
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "flt", "mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def peaks(audio: np.ndarray, count: int) -> np.ndarray:
    """Return the highest absolute value in each of `count` equal parts: float32 (count,)."""
    edges = np.linspace(0, len(audio), count + 1).astype(np.int64)
    starts = np.minimum(edges[:-1], max(len(audio) - 1, 0))
    if not len(audio):
        return np.zeros(count, np.float32)
    return np.maximum.reduceat(np.abs(audio), starts).astype(np.float32)
