"""The audio of segments, read from the tables of a WORKDIR only."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass

import duckdb
import numpy as np

from wavemill.manifests.recording import Recording
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ShardUpstream
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.track import open_tracks

VERSIONS = ("original", "enhanced")
# What stored the audio in snapshots of earlier versions.
ONCE_BY = {"decode": "denoise", "store_audio": "tokenize"}


@dataclass(frozen=True)
class Place:
    """Where a segment is."""

    segment_id: str
    recording_id: str
    track: int
    start_ms: int
    end_ms: int
    text_source: str  # asr: cut from decoded blocks; manifest: stored if it is kept


@dataclass(frozen=True)
class Clip:
    version: str  # original or enhanced
    audio: np.ndarray  # float32 (samples,)
    sample_rate: int


def find_place(database: duckdb.DuckDBPyConnection, segment_id: str) -> Place | None:
    """Look a segment up in the table `seen`."""
    found = database.execute(
        "select segment_id, recording_id, track, start_ms, end_ms, text_source from seen "
        "where segment_id = ? limit 1",
        [segment_id],
    ).fetchall()
    return Place(*found[0]) if found else None


def read_clips(
    database: duckdb.DuckDBPyConnection, store: Store, place: Place, limit_ms: int | None = None
) -> list[Clip]:
    """Return a segment's audio, or its first `limit_ms`, in the versions that are stored.

    A recording that no stage and no corpus reads enhanced has the original alone.
    Returns none where nothing is stored (a labelled item that was rejected, audio that was purged)
    or where it cannot be decoded, which `wavemill verify` reports.
    """
    import soundfile

    stages = ("decode", "denoise") if place.text_source == "asr" else ("store_audio",)
    keys = {stage: _outputs(database, stage, place.recording_id) for stage in stages}
    for stage, once in ONCE_BY.items():
        if keys.get(stage) == []:
            keys[stage] = _outputs(database, once, place.recording_id)
    end_ms = place.end_ms if limit_ms is None else min(place.end_ms, place.start_ms + limit_ms)
    try:
        with ExitStack() as stack:
            files = {
                stage: tuple(stack.enter_context(closing(store.open_table(key))) for key in some)
                for stage, some in keys.items()
            }
            upstream = ShardUpstream(place.recording_id, files, "")
            if place.text_source == "asr":
                return _cut(upstream, place, end_ms)
            return _stored(upstream, place, end_ms)
    except (FileNotFoundError, soundfile.SoundFileError):
        return []


def _cut(upstream: ShardUpstream, place: Place, end_ms: int) -> list[Clip]:
    recording = Recording(place.recording_id, "", 0)
    clips = []
    for version in VERSIONS:
        tracks = {track.track: track for track in open_tracks(recording, upstream, version)}
        if place.track in tracks:
            track = tracks[place.track]
            audio = track.read(place.start_ms, end_ms)
            clips.append(Clip(version, audio, track.sample_rate))
    return [clip for clip in clips if len(clip.audio)]


def _stored(upstream: ShardUpstream, place: Place, end_ms: int) -> list[Clip]:
    columns = ["segment_id", "audio_version", "audio"]
    for batch in upstream.batches("store_audio", columns):
        for row in batch.to_pylist():
            if row["segment_id"] == place.segment_id:
                audio, rate = decode_flac(row["audio"])
                samples = (end_ms - place.start_ms) * rate // 1000
                return [Clip(row["audio_version"], audio[:samples], rate)]
    return []


def _outputs(database: duckdb.DuckDBPyConnection, stage: str, recording_id: str) -> list[str]:
    """Return the keys of a stage's tables that a recording is in."""
    return [key for (key,) in database.execute(_OUTPUTS, [stage, recording_id]).fetchall()]


_OUTPUTS = """
select distinct output from lineage join recordings using (shard_id)
where stage = ? and recording_id = ? order by output
"""
