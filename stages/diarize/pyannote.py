"""pyannote.audio 4 (Bredin 2023; Plaquet and Bredin 2023): neural segmentation and clustering."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavemill.model.torchaudio_import import import_torchaudio
from wavemill.stages.declared import Declared, LocalFiles
from wavemill.stages.diarize.engine import (
    Diarization,
    DiarizationConfig,
    DiarizationEngine,
    TrackAudio,
    Turn,
)
from wavemill.stages.diarize.pyannote_weights import (
    COMMUNITY,
    EXTRA,
    INSTALL,
    PipelineFiles,
    declared,
    load_model,
    local_model,
    local_plda,
    pipeline_files,
    unavailable,
)
from wavemill.stages.diarize.span_embedding import SpanEmbedder, SpanWindows
from wavemill.stages.diarize.spans import Span, intersect, union
from wavemill.stages.engine import package_identity

DISTRIBUTION = "pyannote.audio"
SAMPLE_RATE = 16_000
TELEMETRY = "PYANNOTE_METRICS_ENABLED"


class ModelPair(BaseModel):
    """Two models of one's own instead of a pipeline, and how their embeddings are clustered.

    With a PLDA by VBx, with the parameters of speaker-diarization-community-1; else by
    agglomerative clustering with those of speaker-diarization-3.1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    segmentation: Path | None = None  # checkpoint of a powerset segmentation model
    embedding: Path | None = None
    plda: Path | None = None  # folder
    min_duration_off: float = Field(0.0, ge=0)  # seconds; shorter pauses are filled
    exclude_overlap: bool = True  # from embeddings
    agglomerative_threshold: float = Field(0.7045654963945799, ge=0, le=2)  # distance
    agglomerative_min_cluster_size: int = Field(12, ge=1, le=20)
    vbx_threshold: float = Field(0.6, ge=0.5, le=0.8)
    vbx_fa: float = Field(0.07, ge=0.01, le=0.5)
    vbx_fb: float = Field(0.8, ge=0.01, le=15)

    @model_validator(mode="after")
    def _both_or_none(self) -> ModelPair:
        if (self.segmentation is None) != (self.embedding is None):
            raise ValueError("segmentation and embedding go together: give both, or neither")
        return self

    def files(self) -> PipelineFiles:
        """Return the files and parameters of the pair. Raises EngineUnavailable."""
        assert self.segmentation is not None
        assert self.embedding is not None
        setting = "diarize.pyannote.models"
        plda = None if self.plda is None else local_plda(self.plda, f"{setting}.plda")
        agglomerative = {
            "method": "centroid",
            "threshold": self.agglomerative_threshold,
            "min_cluster_size": self.agglomerative_min_cluster_size,
        }
        vbx = {"threshold": self.vbx_threshold, "Fa": self.vbx_fa, "Fb": self.vbx_fb}
        return PipelineFiles(
            local_model(self.segmentation, f"{setting}.segmentation"),
            local_model(self.embedding, f"{setting}.embedding"),
            plda,
            {
                "clustering": "VBxClustering" if plda else "AgglomerativeClustering",
                "embedding_exclude_overlap": self.exclude_overlap,
            },
            {
                "segmentation": {"min_duration_off": self.min_duration_off},
                "clustering": vbx if plda else agglomerative,
            },
        )


class PyannoteConfig(DiarizationConfig):
    """Parameters of pyannote; the two similarities are the report's (section 3.1)."""

    # Content and parameters of all files enter the identity, those of a `ModelPair` too.
    weights_fields: ClassVar[frozenset[str]] = frozenset({"pipeline", "revision", "models"})

    merge_similarity: float = Field(0.6, ge=-1, le=1)  # report: 0.6
    chunk_similarity: float = Field(0.5, ge=-1, le=1)  # report: 0.5
    pipeline: str = COMMUNITY  # name, folder or config.yaml
    revision: str | None = None  # of the hub repository: branch, tag or commit; none: main
    models: ModelPair = ModelPair()  # if given, instead of `pipeline`
    segmentation_batch: int = Field(32, ge=1)  # windows at once
    embedding_batch: int = Field(32, ge=1)  # spans at once
    windows: SpanWindows = SpanWindows()


class Pyannote(DiarizationEngine[PyannoteConfig]):
    """The package's SpeakerDiarization pipeline, fed with waveforms in memory.

    By default speaker-diarization-community-1, which version 4 of the package recommends. Turns
    are its exclusive diarization (one speaker at a time), since each stretch is transcribed
    once; where several speak is kept as `overlap`.

    Memory: the track at 16 kHz (float32, 230 MB per hour), the package's scores of its windows,
    and the distances that it clusters by: 4 n^2 bytes for n pairs of a window (one per second)
    and a speaker in it, so that three hours take 0.5 GB with one speaker in each window and 1.9 GB
    with two.
    """

    name: ClassVar[str] = "pyannote"
    version: ClassVar[int] = 1
    Config = PyannoteConfig
    packages = (DISTRIBUTION, "torch")
    extra = EXTRA

    _pipeline: Any = None

    def weights_identity(self) -> str:
        return f"{package_identity(DISTRIBUTION)} {self._files().identity()}"

    def weights(self) -> Sequence[Declared]:
        if self.config.models.segmentation is not None:
            return [LocalFiles(path, "models") for path in self._files().paths()]
        return declared(self.config.pipeline, self.config.revision)

    def _files(self) -> PipelineFiles:
        if self.config.models.segmentation is not None:
            return self.config.models.files()
        return pipeline_files(self.config.pipeline, self.config.revision)

    def load(self, device: str) -> None:
        self.check_packages()
        files = self._files()
        package = imported()
        import torch

        torch.set_num_threads(1)
        segmentation, embedding = load_model(files.segmentation), load_model(files.embedding)
        self._embedding = package.PretrainedSpeakerEmbedding(embedding)
        try:
            pipeline = package.SpeakerDiarization(
                segmentation=segmentation,
                embedding=embedding,
                plda=_plda(files),
                segmentation_batch_size=self.config.segmentation_batch,
                embedding_batch_size=self.config.embedding_batch,
                **files.options,
            )
            pipeline.instantiate(dict(files.parameters))
            self._check()
        except Exception as error:  # the package checks with whatever comes
            raise unavailable(
                f"{files.segmentation}, {files.embedding} and their parameters make no pipeline: "
                f"{error}",
                "give a segmentation model, an embedding model and the parameters of "
                "pyannote.audio 4",
            ) from error
        self._pipeline = pipeline.to(torch.device(device))
        self._embedding.to(torch.device(device))

    def _check(self) -> None:
        if self._embedding.sample_rate != SAMPLE_RATE:
            raise ValueError(f"the embedding model works at {self._embedding.sample_rate} Hz")

    def diarize(self, track: TrackAudio, regions: Sequence[Span] = ()) -> Diarization:
        """See DiarizationEngine; one pass of the pipeline over the whole track."""
        import torch

        if self._pipeline is None:
            raise RuntimeError("load() was not called")
        samples = _collected(track.stream(SAMPLE_RATE))
        embedder = SpanEmbedder(
            samples,
            SAMPLE_RATE,
            self._vectors,
            self._embedding.min_num_samples,
            self.config.windows,
            self.config.embedding_batch,
        )
        if not samples.size:
            return Diarization((), (), embedder)
        with warnings.catch_warnings():
            # Statistics over a single frame, in embeddings that the package then leaves out.
            warnings.filterwarnings("ignore", message=r"std\(\): degrees of freedom")
            found = self._pipeline(
                {"waveform": torch.from_numpy(samples)[None], "sample_rate": SAMPLE_RATE}
            )
        return _result(found, samples.size * 1000 // SAMPLE_RATE, regions, embedder)

    def _vectors(self, batch: NDArray[np.float32]) -> NDArray[np.floating]:
        """Map (n, samples) to (n, d) embeddings, of any length."""
        import torch

        return np.asarray(self._embedding(torch.from_numpy(batch)[:, None]))


def imported() -> ModuleType:
    """Import the package, silent towards its makers. Raises EngineUnavailable."""
    os.environ[TELEMETRY] = "false"  # before the import, and whatever the user's default
    try:
        import_torchaudio()
        with warnings.catch_warnings():
            # It says that the package's own decoder is not available; it is never used.
            warnings.filterwarnings("ignore", message=r"(?s)\s*torchcodec is not installed")
            return import_module("pyannote.audio.pipelines.speaker_diarization")
    except (ImportError, OSError) as error:
        raise unavailable(f"package {DISTRIBUTION!r} does not import: {error}", INSTALL) from error


def _plda(files: PipelineFiles) -> Any:
    from pyannote.audio.core.plda import PLDA

    if files.plda is None:
        # The constructor wants one even where the clustering has no use for it, and would fetch
        # that of its default pipeline from the hub: an empty one keeps it from there.
        return object.__new__(PLDA)
    return PLDA(*files.plda)


def _collected(blocks: Iterator[np.ndarray]) -> NDArray[np.float32]:
    """Concatenate, giving each block free as it is copied: the peak is one copy, not two."""
    parts = deque(blocks)
    samples = np.empty(sum(part.size for part in parts), np.float32)
    filled = 0
    while parts:
        part = parts.popleft()
        samples[filled : filled + part.size] = part
        filled += part.size
    return samples


def _result(
    found: Any, end_ms: int, regions: Sequence[Span], embedder: SpanEmbedder
) -> Diarization:
    """Turn the package's DiarizeOutput into ours, inside the track and `regions`."""
    allowed = list(regions) or [(0, end_ms)]
    spoken = list(_spans(found.speaker_diarization, end_ms))
    exclusive = list(_spans(found.exclusive_speaker_diarization, end_ms))
    names = sorted({label for _, label in [*spoken, *exclusive]})
    turns = [
        Turn(start, end, names.index(label))
        for span, label in exclusive
        for start, end in intersect([span], allowed)
    ]
    return Diarization(
        tuple(intersect(union(span for span, _ in spoken), allowed)),
        tuple(sorted(turns, key=lambda t: (t.start_ms, t.end_ms, t.speaker))),
        embedder,
        tuple(intersect(_several(spoken, names), allowed)),
    )


def _spans(annotation: Any, end_ms: int) -> Iterator[tuple[Span, str]]:
    for segment, _, label in annotation.itertracks(yield_label=True):
        start = max(0, round(segment.start * 1000))
        end = min(end_ms, round(segment.end * 1000))
        if start < end:
            yield (start, end), str(label)


def _several(spoken: Sequence[tuple[Span, str]], names: Sequence[str]) -> list[Span]:
    """Return where more than one speaker is active."""
    shared: list[Span] = []
    before: list[Span] = []
    for name in names:
        own = union(span for span, label in spoken if label == name)
        shared += intersect(own, before)
        before = union([*before, *own])
    return union(shared)
