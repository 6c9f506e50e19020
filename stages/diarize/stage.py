"""Diarize: who speaks when, as segments of at most 27 s with speakers known by label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.block_table import STAGE_OF
from wavemill.stages.audio.track import open_tracks
from wavemill.stages.audio.version import AudioVersion
from wavemill.stages.diarize.engine import Diarization, DiarizationEngine, TrackAudio, Turn
from wavemill.stages.diarize.engines import ENGINES
from wavemill.stages.diarize.postprocess import (
    ENERGY_FRAME_MS,
    Energy,
    by_region,
    cut_chunks,
    join_chunks,
    merge_clusters,
    merge_segments,
    reassign_chunks,
    split_long,
)
from wavemill.stages.diarize.spans import Span, intersect, length, union
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.segments import segment_id
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field

SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Recording: hash of the file's content"),
        field("track", pa.int16(), "Track: 0 for a mix, else the channel"),
        field("segment_id", pa.string(), "Recording, track, start and end of the segment"),
        field("segment_index", pa.int32(), "Position in the recording, from 0, in time order"),
        field("start_ms", pa.int64(), "Start in the recording, ms"),
        field("end_ms", pa.int64(), "End in the recording, ms"),
        field("speaker", pa.string(), "S00, S01 ... by first appearance; the same all through"),
        field("speech_ms", pa.int64(), "Speech inside, by voice activity detection, ms"),
        field("overlap_ratio", pa.float64(), "Share where several speak; 0 if not detected"),
        field("speaker_similarity", pa.float64(), "Cosine of the segment's voice to its speaker"),
    ]
)
ENERGY_RATE = 16_000  # Hz


class DiarizeSettings(StageSettings):
    """Settings of the diarize stage; similarity thresholds are in the engines' sections."""

    engine: str = "campplus"
    reads: AudioVersion = "original"  # report: enhanced
    chunk_ms: int = Field(1500, ge=100)  # report: 1.5 s
    max_segment_ms: int = Field(27_000, ge=1000)  # report: 27 s
    max_gap_ms: int = Field(2000, ge=0)  # report: 2 s
    split_margin_ms: int = Field(1000, ge=0)  # a long segment is not cut closer to its ends
    split_window_ms: int = Field(200, ge=10)  # length of the quietest stretch where no pause is


Config = with_engines(DiarizeSettings, ENGINES)


@dataclass(frozen=True, slots=True)
class LabelledSegment:
    """A segment of one track; `speaker` is unique within the track only."""

    track: int
    turn: Turn
    speech_ms: int
    overlap_ratio: float
    similarity: float


class Diarize(EngineStage[DiarizeSettings, DiarizationEngine[Any]]):
    """The stage."""

    name = "diarize"
    version = 2
    schema = SCHEMA
    engines = ENGINES
    Settings = Config

    @property
    def inputs(self) -> tuple[str, ...]:
        return (STAGE_OF[self.settings.reads],)

    @property
    def reads_audio(self) -> AudioVersion:
        return self.settings.reads

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield the segments of all tracks in one batch, in time order; none without speech."""
        if recording.labelled:
            return
        segments = [
            segment
            for track in open_tracks(recording, upstream, self.settings.reads)
            for segment in self.segments(track, union(recording.regions))
        ]
        if segments:
            yield batch(_rows(recording.recording_id, segments), SCHEMA)

    def segments(self, track: TrackAudio, regions: Sequence[Span] = ()) -> list[LabelledSegment]:
        """Diarize one track and post-process: merge speakers, reassign chunks, join, split."""
        found = self.engine.diarize(track, regions)
        if not found.turns:
            return []
        energy = _energy_of(track)
        turns = post_process(found, self.engine.config, self.settings, energy, regions)
        return _describe(track.track, turns, found)


def post_process(
    found: Diarization,
    engine: Any,
    settings: DiarizeSettings,
    energy: Energy,
    regions: Sequence[Span] = (),
) -> list[Turn]:
    """Apply the report's three steps and the split of what is still too long, in its order.

    `engine` is the engine's config, a DiarizationConfig. Segments do not reach from one of the
    `regions` (in order, no overlap) into the next.
    """
    turns = _one_speaker_where_alike(found, engine.merge_similarity)
    chunks, sources = cut_chunks(turns, settings.chunk_ms)
    speakers = reassign_chunks(
        np.asarray([chunk.speaker for chunk in chunks], dtype=np.int64),
        sources,
        found.embed([(chunk.start_ms, chunk.end_ms) for chunk in chunks]),
        _representatives(turns, found),
        engine.chunk_similarity,
    )
    chunks = [replace(c, speaker=int(s)) for c, s in zip(chunks, speakers, strict=True)]
    joined = [
        turn
        for group in by_region(join_chunks(chunks, sources), regions)
        for turn in merge_segments(group, settings.max_segment_ms, settings.max_gap_ms)
    ]
    return [
        piece
        for turn in joined
        for piece in split_long(
            turn,
            found.speech,
            energy,
            settings.max_segment_ms,
            settings.split_margin_ms,
            settings.split_window_ms,
        )
    ]


def _one_speaker_where_alike(found: Diarization, threshold: float) -> list[Turn]:
    voices = _representatives(found.turns, found)
    names = sorted(voices)
    weights = [length((t.start_ms, t.end_ms) for t in found.turns if t.speaker == n) for n in names]
    durations = np.asarray(weights, np.float64)
    owners = merge_clusters(np.stack([voices[n] for n in names]), durations, threshold)
    renamed = {name: names[owner] for name, owner in zip(names, owners.tolist(), strict=True)}
    return [replace(turn, speaker=renamed[turn.speaker]) for turn in found.turns]


def _representatives(turns: Sequence[Turn], found: Diarization) -> dict[int, np.ndarray]:
    """Return the mean embedding of each speaker's turns, weighted by duration."""
    embeddings = found.embed([(turn.start_ms, turn.end_ms) for turn in turns])
    voices: dict[int, np.ndarray] = {}
    for turn, embedding in zip(turns, embeddings, strict=True):
        weighted = embedding.astype(np.float64) * (turn.end_ms - turn.start_ms)
        voices[turn.speaker] = voices.get(turn.speaker, 0) + weighted
    return voices


def _describe(track: int, turns: Sequence[Turn], found: Diarization) -> list[LabelledSegment]:
    voices = _representatives(turns, found)
    embeddings = found.embed([(turn.start_ms, turn.end_ms) for turn in turns])
    out: list[LabelledSegment] = []
    for turn, embedding in zip(turns, embeddings, strict=True):
        span = [(turn.start_ms, turn.end_ms)]
        voice = voices[turn.speaker]
        out.append(
            LabelledSegment(
                track=track,
                turn=turn,
                speech_ms=length(intersect(found.speech, span)),
                overlap_ratio=length(intersect(found.overlap, span)) / length(span),
                similarity=float(embedding @ voice / max(float(np.linalg.norm(voice)), 1e-12)),
            )
        )
    return out


def _rows(recording_id: str, segments: Sequence[LabelledSegment]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    labels: dict[tuple[int, int], str] = {}
    ordered = sorted(segments, key=lambda s: (s.turn.start_ms, s.track, s.turn.end_ms))
    for index, segment in enumerate(ordered):
        turn, track = segment.turn, segment.track
        label = labels.setdefault((track, turn.speaker), f"S{len(labels):02d}")
        rows.append(
            {
                "recording_id": recording_id,
                "track": track,
                "segment_id": segment_id(recording_id, track, turn.start_ms, turn.end_ms),
                "segment_index": index,
                "start_ms": turn.start_ms,
                "end_ms": turn.end_ms,
                "speaker": label,
                "speech_ms": segment.speech_ms,
                "overlap_ratio": segment.overlap_ratio,
                "speaker_similarity": segment.similarity,
            }
        )
    return rows


def _energy_of(track: TrackAudio) -> Energy:
    """Return a function that gives the mean square of each 10 ms of a span of the track."""

    def energy(start_ms: int, end_ms: int) -> np.ndarray:
        samples = track.read(start_ms, end_ms, ENERGY_RATE)
        width = ENERGY_RATE * ENERGY_FRAME_MS // 1000
        whole = len(samples) // width * width
        return np.mean(samples[:whole].reshape(-1, width).astype(np.float64) ** 2, axis=1)

    return energy
