"""What the dashboard's server answers, by path. Parameters are texts that a client may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from wavemill.pipeline.quality import browse
from wavemill.pipeline.quality.browse import BadQuery
from wavemill.pipeline.quality.listening import VERSIONS, find_place, read_clips, sound
from wavemill.pipeline.quality.live import Shown
from wavemill.pipeline.quality.timeline import timeline
from wavemill.pipeline.quality.what_if import kept_with
from wavemill.stages.audio.flac import encode_flac

Parameters = Mapping[str, str]


class NotFound(LookupError):
    """What a request names does not exist."""


def clip(shown: Shown, segment_id: str, version: str) -> bytes:
    """Return a segment as FLAC. Raises NotFound."""
    with shown.cursor() as cursor:
        place = find_place(cursor, segment_id)
    clips = read_clips(shown.store, place) if place else []
    for clip in clips:
        if clip.version == version:
            return encode_flac(clip.audio, clip.sample_rate)
    if clips and version in VERSIONS:
        raise NotFound(f"the recording has no {version} version: nothing reads it so")
    raise NotFound("there is no such audio")


def _sounds(shown: Shown, given: Parameters) -> Any:
    with shown.cursor() as cursor:
        place = find_place(cursor, given.get("segment", ""))
    clips = read_clips(shown.store, place) if place else []
    return [asdict(sound(clip, encoded=False)) for clip in clips]


def _segments(shown: Shown, given: Parameters) -> Any:
    with shown.cursor() as cursor:
        return asdict(browse.segments(cursor, shown.rows, given))


def _recordings(shown: Shown, given: Parameters) -> Any:
    with shown.cursor() as cursor:
        return {"rows": browse.recordings(cursor, given.get("search", ""))}


def _timeline(shown: Shown, given: Parameters) -> Any:
    with shown.cursor() as cursor:
        recording = given.get("recording", "")
        known = cursor.execute("select 1 from recordings where recording_id = ?", [recording])
        if not known.fetchall():
            raise NotFound("there is no such recording")
        return asdict(timeline(cursor, recording))


def _what_if(shown: Shown, given: Parameters) -> Any:
    moved = {name: value for name, value in given.items() if name != "kind"}
    try:
        thresholds = {n: None if v == "off" else float(v) for n, v in moved.items()}
        with shown.cursor() as cursor:
            segments, hours = kept_with(cursor, given.get("kind", "asr"), thresholds)
    except (KeyError, ValueError) as error:
        raise BadQuery(f"a rule and a number are expected: {error}") from error
    return {"segments": segments, "hours": hours}


ROUTES: Mapping[str, Callable[[Shown, Parameters], Any]] = {
    "/api/figures": lambda shown, _: shown.figures_json,
    "/api/samples": lambda shown, _: shown.samples_json(),
    "/api/segments": _segments,
    "/api/sounds": _sounds,
    "/api/recordings": _recordings,
    "/api/timeline": _timeline,
    "/api/what-if": _what_if,
}
