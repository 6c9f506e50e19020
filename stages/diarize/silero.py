"""The embedded engine: Silero VAD, phonetic voice statistics, Bayesian clustering.

Needs no download: both models are inside wheels (`silero-vad`, `pocketsphinx`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wavemill.stages.declared import Declared
from wavemill.stages.diarize.cepstra import Cepstra, CepstraStream
from wavemill.stages.diarize.clustering import ClusteringConfig, cluster
from wavemill.stages.diarize.engine import (
    Diarization,
    DiarizationConfig,
    DiarizationEngine,
    TrackAudio,
    Turn,
)
from wavemill.stages.diarize.phonetic import (
    SoundModel,
    VoiceStatistics,
    load_sounds,
    voice_statistics,
)
from wavemill.stages.diarize.spans import Span, intersect
from wavemill.stages.diarize.vad import (
    SAMPLE_RATE,
    ProbabilityStream,
    VadConfig,
    open_session,
    speech_spans,
)
from wavemill.stages.diarize.vad import WEIGHTS as VAD_WEIGHTS
from wavemill.stages.diarize.voices import CHUNK_S, FRAME_MS, Voices
from wavemill.stages.engine import EngineUnavailable, package_identity
from wavemill.stages.transcribe.pocketsphinx import WEIGHTS as SOUNDS

LOUD_PERCENTILE = 90


class SileroConfig(DiarizationConfig):
    """Parameters of the embedded engine.

    The two similarities are calibrated for its embedding on recordings of known speakers, read
    speech and strings of digits, joined in pairs (benchmarks/diarization.md): the false clusters
    of one speaker in 3 to 25 minutes are 0.67 to 0.9 alike, different speakers 0.41 in the
    median; neighbouring chunks of one speaker are more than 0.57 alike in 99 of 100 cases
    there, but down to 0.36 in meetings.
    """

    merge_similarity: float = Field(0.65, ge=-1, le=1)
    chunk_similarity: float = Field(0.3, ge=-1, le=1)
    vad: VadConfig = VadConfig()
    clustering: ClusteringConfig = ClusteringConfig()
    block_ms: int = Field(250, ge=50)  # resolution of speaker changes
    level_range_db: float = Field(10.0, gt=0)  # softer frames tell of the room, not the voice
    pause_share: float = Field(0.25, ge=0, lt=1)  # of pauses, in what counts as an utterance
    frame_step: int = Field(2, ge=1)  # every second frame is enough: neighbours are alike
    common_ground: float = Field(3.0, gt=0)  # the embedding's constant part, see Voices.embed


class SileroClustering(DiarizationEngine[SileroConfig]):
    """Speech by Silero VAD, speakers by clustering of phonetic voice statistics."""

    name: ClassVar[str] = "silero"
    version: ClassVar[int] = 1
    Config = SileroConfig
    packages = ("silero-vad", "pocketsphinx", "onnxruntime")

    _session: Any = None
    _sounds: SoundModel | None = None

    def weights_identity(self) -> str:
        return f"{package_identity('silero-vad')}, {package_identity('pocketsphinx')}"

    def weights(self) -> Sequence[Declared]:
        sounds = (w for w in SOUNDS if w.path.endswith(("/means", "/variances")))
        return (VAD_WEIGHTS, *sounds)

    def load(self, device: str) -> None:  # noqa: ARG002 - runs on the CPU
        try:
            self._session = open_session()
        except ImportError as error:
            raise EngineUnavailable(
                "package 'onnxruntime' is not installed; remedy: pip install onnxruntime"
            ) from error
        self._sounds = load_sounds()

    def diarize(self, track: TrackAudio, regions: Sequence[Span] = ()) -> Diarization:
        """See DiarizationEngine. Memory grows by about 5 MiB per minute of audio."""
        speech, frames = self._listen(track, regions)
        statistics, chosen = self._statistics(frames, speech)
        voices = Voices.of(
            statistics,
            chosen,
            len(frames.values),
            self.config.frame_step,
            self.config.common_ground,
        )
        blocks, chunks = _cut_blocks(speech, self.config.block_ms)
        labels = cluster(*voices.between(blocks), chunks, self.config.clustering)
        return Diarization(tuple(speech), tuple(_turns(blocks, labels)), voices.embed)

    def statistics(self, track: TrackAudio) -> VoiceStatistics:
        """Return the statistics of the frames that count, for calibration."""
        speech, frames = self._listen(track, ())
        return self._statistics(frames, speech)[0]

    def _listen(self, track: TrackAudio, regions: Sequence[Span]) -> tuple[list[Span], Cepstra]:
        """Stream the track once: where speech is, and the cepstra of all frames."""
        probabilities, cepstra = ProbabilityStream(self._session), CepstraStream()
        samples = 0
        for piece in track.stream(SAMPLE_RATE):
            probabilities.feed(piece)
            cepstra.feed(piece)
            samples += len(piece)
        speech = speech_spans(probabilities.finish(), samples, self.config.vad)
        return (intersect(speech, regions) if regions else speech), cepstra.finish()

    def _statistics(
        self, frames: Cepstra, speech: Sequence[Span]
    ) -> tuple[VoiceStatistics, NDArray[np.int64]]:
        """Return the statistics of the frames that count, and their numbers."""
        if self._sounds is None:
            raise RuntimeError("load() was not called")
        config = self.config
        inside = _inside(len(frames.values), speech)
        chosen = _loud(frames.level_db, inside, config.level_range_db)[:: config.frame_step]
        centre = _centre(frames.values, inside, config.pause_share)
        return voice_statistics(frames.values[chosen], centre, self._sounds), chosen


def _inside(frames: int, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Return which frames lie in the spans, (frames,)."""
    inside = np.zeros(frames, dtype=bool)
    for start, end in spans:
        inside[start // FRAME_MS : end // FRAME_MS] = True
    return inside


def _loud(
    level: NDArray[np.float32], inside: NDArray[np.bool_], range_db: float
) -> NDArray[np.int64]:
    """Return the numbers of the frames inside not more than `range_db` below the loud ones."""
    if not inside.any():
        return np.zeros(0, np.int64)
    loud = np.percentile(level[inside], LOUD_PERCENTILE)
    return np.flatnonzero(inside & (level > loud - range_db))


def _centre(
    values: NDArray[np.float32], inside: NDArray[np.bool_], pause_share: float
) -> NDArray[np.float32]:
    """Return the cepstrum that counts as zero in the sound model, (13,).

    The model subtracts the mean of whole utterances, with the pauses in them. The recording's
    mean serves, but for long silences: pauses count for at most `pause_share` of it.
    """
    if not inside.any():
        return np.zeros(values.shape[1], np.float32)
    speech = values[inside].mean(axis=0)
    share = min(pause_share, 1 - float(inside.mean()))
    if share == 0:
        return speech
    return (1 - share) * speech + share * values[~inside].mean(axis=0)


def _cut_blocks(speech: Sequence[Span], block_ms: int) -> tuple[list[Span], NDArray[np.int64]]:
    """Cut speech into equal blocks of about `block_ms`; number the 1.5 s chunk of each."""
    blocks: list[Span] = []
    chunks: list[int] = []
    per_chunk = max(1, round(CHUNK_S * 1000 / block_ms))
    for start, end in speech:
        count = max(1, round((end - start) / block_ms))
        edges = [start + (end - start) * i // count for i in range(count + 1)]
        base = chunks[-1] + 1 if chunks else 0
        blocks += list(pairwise(edges))
        chunks += [base + i // per_chunk for i in range(count)]
    return blocks, np.asarray(chunks, dtype=np.int64)


def _turns(blocks: Sequence[Span], labels: NDArray[np.int64]) -> list[Turn]:
    """Join touching blocks of one speaker."""
    out: list[Turn] = []
    for (start, end), label in zip(blocks, labels.tolist(), strict=True):
        if out and out[-1].speaker == label and out[-1].end_ms == start:
            out[-1] = Turn(out[-1].start_ms, end, label)
        else:
            out.append(Turn(start, end, label))
    return out
