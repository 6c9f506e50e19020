"""Audio files made for tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from wavemill.stages.audio.decode import Audio, open_audio
from wavemill.stages.audio.limits import DEFAULT_LIMITS, DecodeLimits

# container and codec by file ending; Vorbis needs two channels in FFmpeg's own encoder
CODECS = {
    "wav": "pcm_s16le",
    "flac": "flac",
    "mp3": "libmp3lame",
    "opus": "libopus",
    "ogg": "vorbis",
    "m4a": "aac",
    "aac": "aac",
    "webm": "libopus",
    "mov": "aac",
}


def chirp(seconds: float, rate: int, channels: int = 1, level: float = 0.3) -> np.ndarray:
    """A tone that moves, with some noise; float32 (channels, samples), channels differ."""
    random = np.random.default_rng(7)
    time = np.arange(round(seconds * rate)) / rate
    rows = [
        np.sin(2 * np.pi * (200 + 150 * number) * time + 40 * np.sin(3 * time))
        + 0.05 * random.standard_normal(time.size)
        for number in range(channels)
    ]
    return (level * np.stack(rows)).astype(np.float32)


def sweep(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """A tone that rises and is nowhere like itself; float32 (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    row = 0.3 * np.sin(2 * np.pi * (200 + 1200 * time / seconds) * time)
    return np.stack([row] * channels).astype(np.float32)


def encoded(path: Path, audio: np.ndarray, rate: int, video: bool = False) -> Path:
    """Write float32 (channels, samples) in the format of the file's ending."""
    layout = {1: "mono", 2: "stereo"}[audio.shape[0]]
    with av.open(str(path), "w") as container:
        options = {"strict": "experimental"}
        stream = container.add_stream(CODECS[path.suffix[1:]], rate=rate, options=options)
        stream.layout = layout
        pictures = picture_track(container) if video else None
        stream.codec_context.open()
        resampler = av.AudioResampler(
            stream.format, layout, rate, frame_size=stream.codec_context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), "fltp", layout)
        frame.sample_rate, frame.pts = rate, 0
        if pictures:
            add_pictures(container, pictures)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return path


def silent_video(path: Path) -> Path:
    """Write a video that has no audio track."""
    with av.open(str(path), "w") as container:
        add_pictures(container, picture_track(container))
    return path


def picture_track(container: av.container.OutputContainer) -> av.VideoStream:
    """Add an empty picture track."""
    stream = container.add_stream("mpeg4", rate=5)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuv420p"
    return stream


def add_pictures(
    container: av.container.OutputContainer, stream: av.VideoStream, frames: int = 5
) -> None:
    """Fill a picture track with black."""
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        frame.pts = index
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def wav_bytes(audio: np.ndarray, rate: int, subtype: str = "PCM_16") -> bytes:
    """A WAV file of float32 (samples,) or (samples, channels)."""
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def timed(
    path: Path,
    audio: np.ndarray,
    rate: int,
    codec: str,
    late_s: float = 0.0,
    gaps: Sequence[tuple[float, float]] = (),
    video_s: float = 0.0,
    **options: str,
) -> Path:
    """Encode float32 (channels, samples) with times that begin late or jump.

    `gaps` are (where, by how much) in seconds of `audio`; with `video_s` pictures begin at 0.
    `options` are the container's.
    """
    layout = {1: "mono", 2: "stereo"}[audio.shape[0]]
    with av.open(str(path), "w", options=options) as container:
        pictures = picture_track(container) if video_s else None
        stream = container.add_stream(codec, rate=rate, options={"strict": "experimental"})
        stream.layout = layout
        stream.bit_rate = 128_000  # wmav2 has no default
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        if pictures:
            add_pictures(container, pictures, round(video_s * 5))
        resampler = av.AudioResampler(stream.format, layout, rate)
        for start in range(0, audio.shape[1], size):
            part = np.ascontiguousarray(audio[:, start : start + size])
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.sample_rate = rate
            (piece,) = resampler.resample(frame)
            shift = late_s + sum(gap for at, gap in gaps if start / rate >= at)
            piece.pts, piece.time_base = start + round(shift * rate), Fraction(1, rate)
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def decoded(uri: str | Path, limits: DecodeLimits = DEFAULT_LIMITS) -> tuple[np.ndarray, Audio]:
    """Decode all of a file: float32 (channels, samples), and what is known of it."""
    with open_audio(str(uri), limits) as audio:
        return np.concatenate(list(audio.blocks), axis=1), audio


def lag(part: np.ndarray, whole: np.ndarray) -> tuple[int, float]:
    """Find where the samples of `part` lie in `whole`, both (samples,), and how alike they are."""
    n = 1 << (part.size + whole.size).bit_length()
    cross = np.fft.irfft(np.fft.rfft(whole, n) * np.conj(np.fft.rfft(part, n)))
    at = int(np.argmax(cross[: whole.size]))
    there = whole[at : at + part.size]
    scale = float(np.linalg.norm(part[: there.size]) * np.linalg.norm(there))
    return at, float(cross[at]) / (scale or 1.0)
