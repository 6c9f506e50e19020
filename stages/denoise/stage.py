"""Denoise: the enhanced version of recordings, in blocks that lie exactly on the original ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain, groupby
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.block_table import SCHEMA
from wavemill.stages.audio.flac import decode_flac, encode_flac
from wavemill.stages.audio.version import choose_audio_version
from wavemill.stages.denoise.aligned import enhanced_blocks
from wavemill.stages.denoise.engine import DenoiseEngine
from wavemill.stages.denoise.engines import ENGINES
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.stage import EngineStage, Stage
from wavemill.stages.tables import batch

Rows = list[dict[str, Any]]


class DenoiseSettings(StageSettings):
    """Settings of the denoise stage."""

    engine: str = "deepfilternet"
    # "needed": the recordings that are published enhanced, or all where a stage reads them so.
    recordings: Literal["needed", "all"] = "needed"


Config = with_engines(DenoiseSettings, ENGINES)


class Denoise(EngineStage[DenoiseSettings, DenoiseEngine[Any]]):
    """The stage."""

    name = "denoise"
    version = 4
    inputs = ("decode",)
    schema = SCHEMA
    engines = ENGINES
    Settings = Config
    shared = ("audio_version",)

    def beside(self, stages: Mapping[str, Stage[Any]]) -> Self:
        """Return the stage that enhances all recordings where another stage reads all of them."""
        if not any(stage.reads_audio == "enhanced" for stage in stages.values()):
            return self
        settings = self.settings.model_copy(update={"recordings": "all"})
        return type(self)(settings, self.shared_settings, self.engine)

    def _shared_parameters(self) -> dict[str, Any]:
        return super()._shared_parameters() if self.settings.recordings == "needed" else {}

    def enhances(self, recording: Recording) -> bool:
        """Whether the recording has an enhanced version; labelled ones never have."""
        if self.settings.recordings == "all":
            return not recording.labelled
        return choose_audio_version(recording, self.shared_settings.audio_version) == "enhanced"

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield one batch per block, its rows by track; none of a recording that stays as it is."""
        found = _blocks(upstream) if self.enhances(recording) else iter(())
        first = next(found, None)
        if first is None:
            return
        described: deque[Rows] = deque()  # of blocks that the engine has not returned yet

        def heard() -> Iterator[list[np.ndarray]]:
            for rows in chain([first], found):
                described.append([{k: v for k, v in row.items() if k != "audio"} for row in rows])
                yield [decode_flac(row["audio"])[0] for row in rows]

        rate = first[0]["sample_rate"]
        for block in enhanced_blocks(self.engine, heard(), rate):
            yield batch(
                [
                    {**row, "version": "enhanced", "audio": encode_flac(samples, rate)}
                    for row, samples in zip(described.popleft(), block, strict=True)
                ],
                SCHEMA,
            )


def _blocks(upstream: Upstream) -> Iterator[Rows]:
    """Yield the rows of each original block, by track."""
    rows = (row for some in upstream.batches("decode") for row in some.to_pylist())
    for _, block in groupby(rows, lambda row: row["start_ms"]):
        yield list(block)
