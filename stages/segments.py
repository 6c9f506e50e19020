"""The segments of a recording, whichever way they came: diarized, or given by a manifest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from wavemill.manifests.recording import Item, Recording
from wavemill.stages.recording_stage import Upstream

UNKNOWN_SPEAKER = "S00"  # a labelled item whose manifest names no speaker


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of speech of one speaker; times in milliseconds of the recording."""

    segment_id: str
    segment_index: int
    track: int
    start_ms: int
    end_ms: int
    speaker: str
    speech_ms: int | None  # None where no voice activity detection ran (labelled items)
    overlap_ratio: float | None
    speaker_similarity: float | None
    item: Item | None = None

    @property
    def duration_s(self) -> float:
        return (self.end_ms - self.start_ms) / 1000


def segment_id(recording_id: str, track: int, start_ms: int, end_ms: int) -> str:
    """Return the identity of a segment: it depends on content and times only."""
    return f"{recording_id}-{track}-{start_ms}-{end_ms}"


def track_of(item: Item) -> int:
    """Return the track of a labelled item: 0, the mix of all channels, or its channel + 1."""
    return 0 if item.channel is None else item.channel + 1


def segments_of(recording: Recording, upstream: Upstream) -> list[Segment]:
    """Return the segments in time order: `diarize` rows, or the items of a labelled recording."""
    if recording.labelled:
        return _from_items(recording)
    columns = [
        "segment_id",
        "segment_index",
        "track",
        "start_ms",
        "end_ms",
        "speaker",
        "speech_ms",
        "overlap_ratio",
        "speaker_similarity",
    ]
    return [Segment(**row) for row in upstream.table("diarize", columns).to_pylist()]


def kept_segments(recording: Recording, upstream: Upstream) -> list[Segment]:
    """Return the segments that the verdict keeps, in time order, for stages that it selects."""
    verdicts = upstream.table("verdict", ["segment_id", "kept"]).to_pylist()
    kept = {row["segment_id"] for row in verdicts if row["kept"]}
    return [s for s in segments_of(recording, upstream) if s.segment_id in kept]


def _from_items(recording: Recording) -> list[Segment]:
    """One segment per item; where several label one span, the others are numbered.

    Ids come from spans alone, so that a corrected text leaves scores of the audio valid.
    """
    segments: list[Segment] = []
    seen: Counter[str] = Counter()
    for item in sorted(recording.items, key=lambda i: (i.start_ms, i.end_ms, i.item_id)):
        track = track_of(item)
        span = segment_id(recording.recording_id, track, item.start_ms, item.end_ms)
        segments.append(
            Segment(
                segment_id=f"{span}-{seen[span]}" if seen[span] else span,
                segment_index=len(segments),
                track=track,
                start_ms=item.start_ms,
                end_ms=item.end_ms,
                speaker=item.speaker or recording.speaker or UNKNOWN_SPEAKER,
                speech_ms=None,
                overlap_ratio=None,
                speaker_similarity=None,
                item=item,
            )
        )
        seen[span] += 1
    return segments
