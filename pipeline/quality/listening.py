"""The audio of segments, read from the tables of a WORKDIR only."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import duckdb
import numpy as np

from wavemill.manifests.recording import Recording
from wavemill.pipeline.quality.details import Sound
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ShardUpstream
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.opus import encode_opus, peaks
from wavemill.stages.audio.track import open_tracks

VERSIONS = ("original", "enhanced")
PEAKS = 240  # of a waveform
# What stored the audio in snapshots of earlier versions.
ONCE_BY = {"decode": "denoise", "store_audio": "tokenize"}
STAGES = ("decode", "denoise", "store_audio", "tokenize")  # whose tables hold audio


@dataclass(frozen=True)
class Place:
    """Where a segment is."""

    segment_id: str
    recording_id: str
    track: int
    start_ms: int
    end_ms: int
    text_source: str  # asr: cut from decoded blocks; manifest: stored if it is kept
    outputs: Mapping[str, Sequence[str]]  # keys of the tables with its audio, by stage


@dataclass(frozen=True)
class Clip:
    version: str  # original or enhanced
    audio: np.ndarray  # float32 (samples,)
    sample_rate: int


def find_place(database: duckdb.DuckDBPyConnection, segment_id: str) -> Place | None:
    """Look a segment up in the table `seen`."""
    return find_places(database, [segment_id]).get(segment_id)


def find_places(
    database: duckdb.DuckDBPyConnection, segment_ids: Sequence[str]
) -> dict[str, Place]:
    """Look segments up in the table `seen`; those that are not there are left out."""
    wanted = database.execute(_PLACES, [list(segment_ids)]).fetchall()
    outputs: dict[str, dict[str, list[str]]] = {}
    ids = sorted({row[1] for row in wanted})
    for recording_id, stage, key in database.execute(_OUTPUTS, [ids, list(STAGES)]).fetchall():
        outputs.setdefault(recording_id, {}).setdefault(stage, []).append(key)
    return {row[0]: Place(*(*row, outputs.get(row[1], {}))) for row in wanted}


def read_clips(store: Store, place: Place, limit_ms: int | None = None) -> list[Clip]:
    """Return a segment's audio, or its first `limit_ms`, in the versions that are stored.

    A recording that no stage and no corpus reads enhanced has the original alone.
    Returns none where nothing is stored (a labelled item that was rejected, audio that was purged)
    or where it cannot be decoded, which `wavemill verify` reports.
    """
    import soundfile

    stages = ("decode", "denoise") if place.text_source == "asr" else ("store_audio",)
    keys = {
        stage: place.outputs.get(stage) or place.outputs.get(ONCE_BY.get(stage, ""), [])
        for stage in stages
    }
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


def sound(clip: Clip, encoded: bool) -> Sound:
    """Return what the page has of a clip: its peaks and, if `encoded`, its sound."""
    heights = (peaks(clip.audio, PEAKS) * 255).clip(0, 255).astype("uint8")
    webm = _base64(encode_opus(clip.audio, clip.sample_rate)) if encoded else ""
    return Sound(clip.version, _base64(heights.tobytes()), webm)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


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


_PLACES = """
select segment_id, recording_id, track, start_ms, end_ms, text_source
from seen semi join (select unnest(?::varchar[]) as segment_id) using (segment_id)
"""
_OUTPUTS = """
select distinct recording_id, stage, output from lineage join (
    from recordings semi join (select unnest(?::varchar[]) as recording_id) using (recording_id)
) using (shard_id)
where list_contains(?::varchar[], stage) order by all
"""
