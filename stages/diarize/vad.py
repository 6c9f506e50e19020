"""Silero voice activity detection through onnxruntime, streaming.

The wheel holds the same network several times. `silero_vad_16k_sequence.onnx` runs a block of
frames in one call and gives the probabilities of the JIT model to 3e-5 at about five times
its speed (figures in benchmarks/diarization.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.diarize.spans import Span

SAMPLE_RATE = 16_000
FRAME = 512  # samples per probability, 32 ms
CONTEXT = 64  # samples of the previous frame that the network sees again
BLOCK = 1875  # frames per call, one minute
HYSTERESIS = 0.15  # of the package: speech ends below threshold - 0.15 ...
LOWEST = 0.01  # ... but never below this


class VadConfig(BaseModel):
    """The parameters of the package's `get_speech_timestamps`, same meaning.

    The package's own defaults are 0.5, 250, 100 and 30. On meeting extracts they miss 21 % of
    the reference speech, quiet speakers mostly; these miss 13 % at 1.5 % false alarms. The wider
    padding also spares the transcriber clipped word edges.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(0.3, gt=0, lt=1)
    min_speech_ms: int = Field(250, ge=0)
    min_silence_ms: int = Field(100, ge=0)
    speech_pad_ms: int = Field(100, ge=0)


WEIGHTS = BundledFile(
    "silero-vad",
    "silero_vad",
    "data/silero_vad_16k_sequence.onnx",
    "",
    licence="MIT",
    source="https://github.com/snakers4/silero-vad",
    size=1_246_165,
)


def model_path() -> Path:
    """Return the ONNX file in the installed wheel; importing the package would import torch.

    Raises EngineUnavailable when the package or the file is not there.
    """
    return WEIGHTS.located()


def open_session() -> Any:
    """Return an onnxruntime session of the model with one thread. Raises EngineUnavailable."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(model_path()), options, providers=["CPUExecutionProvider"]
    )


class ProbabilityStream:
    """Speech probabilities of one track, fed piece by piece in bounded memory."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._hidden = np.zeros((1, 1, 128), np.float32)
        self._cell = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._done: list[NDArray[np.float32]] = []

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples, (n,) float32 at 16 kHz."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // FRAME * FRAME
        self._rest = samples[whole:]
        frames = samples[:whole].reshape(-1, FRAME)
        for first in range(0, len(frames), BLOCK):
            self._run(frames[first : first + BLOCK])

    def taken(self) -> NDArray[np.float32]:
        """Return the probabilities of the whole frames so far, (frames,) float32; forget them."""
        done, self._done = self._done, []
        return np.concatenate(done) if done else np.zeros(0, np.float32)

    def finish(self) -> NDArray[np.float32]:
        """Return one probability per 32 ms, (frames,) float32; the last frame is zero-padded."""
        if len(self._rest):
            self.feed(np.zeros(FRAME - len(self._rest), np.float32))
        return self.taken()

    def _run(self, frames: NDArray[np.float32]) -> None:
        contexts = np.concatenate([self._context[None], frames[:-1, -CONTEXT:]])
        self._context = frames[-1, -CONTEXT:].copy()
        probabilities, self._hidden, self._cell = self._session.run(
            ["speech_probs", "hn", "cn"],
            {
                "input": np.concatenate([contexts, frames], axis=1),
                "h": self._hidden,
                "c": self._cell,
            },
        )
        self._done.append(probabilities.reshape(-1))


@dataclass(frozen=True, slots=True)
class FoundSpeech:
    """Where somebody speaks in a track of `samples` at 16 kHz, and where several do."""

    speech: list[Span]
    overlap: list[Span]  # none where that is not known
    samples: int


def find_speech(
    session: Any, config: VadConfig, pieces: Iterable[NDArray[np.float32]]
) -> FoundSpeech:
    """Hear a track, float32 (n,) at 16 kHz piece by piece."""
    probabilities, samples = ProbabilityStream(session), 0
    for piece in pieces:
        probabilities.feed(piece)
        samples += len(piece)
    return FoundSpeech(speech_spans(probabilities.finish(), samples, config), [], samples)


def speech_spans(
    probabilities: NDArray[np.floating], samples: int, config: VadConfig, frame: int = FRAME
) -> list[Span]:
    """Turn probabilities into speech spans, as the package's `get_speech_timestamps` does.

    `samples` is the track's length at 16 kHz, `frame` that of a probability. Speech starts at
    `threshold` and ends where the probability falls below threshold - 0.15 and stays below
    threshold for `min_silence_ms`; what is not longer than `min_speech_ms` is dropped; spans are
    padded on both sides, neighbours sharing a gap that is too short for both pads. Returns spans in
    milliseconds.
    """
    raw = _raw_spans(probabilities, samples, config, frame)
    return [
        (start * 1000 // SAMPLE_RATE, end * 1000 // SAMPLE_RATE)
        for start, end in _padded(raw, samples, config.speech_pad_ms * SAMPLE_RATE // 1000)
    ]


def _raw_spans(
    probabilities: NDArray[np.floating], samples: int, config: VadConfig, frame: int
) -> list[Span]:
    release = max(config.threshold - HYSTERESIS, LOWEST)
    min_speech = config.min_speech_ms * SAMPLE_RATE / 1000
    min_silence = config.min_silence_ms * SAMPLE_RATE / 1000
    spans: list[Span] = []
    start: int | None = None
    silent_from: int | None = None
    for index, probability in enumerate(probabilities.tolist()):
        now = index * frame
        if probability >= config.threshold:
            silent_from = None
            if start is None:
                start = now
        elif probability < release and start is not None:
            silent_from = now if silent_from is None else silent_from
            if now - silent_from >= min_silence:
                if silent_from - start > min_speech:
                    spans.append((start, silent_from))
                start = silent_from = None
    if start is not None and samples - start > min_speech:
        spans.append((start, samples))
    return spans


def _padded(spans: Sequence[Span], samples: int, pad: int) -> list[Span]:
    out: list[Span] = []
    for index, (start, end) in enumerate(spans):
        before = start - spans[index - 1][1] if index else 2 * pad + start
        after = spans[index + 1][0] - end if index + 1 < len(spans) else 2 * pad
        first = start - (pad if before >= 2 * pad else before // 2)
        last = end + (pad if after >= 2 * pad else after // 2)
        out.append((max(0, first), min(samples, last)))
    return out
