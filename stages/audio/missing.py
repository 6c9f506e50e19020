"""Places where a recording lacks audio: as rows of a table, as shares of a segment, as errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.timeline import Kind, Missing
from wavemill.stages.recording_stage import SpanError

MISSING = pa.list_(
    pa.field(
        "span",
        pa.struct(
            [
                pa.field("start_ms", pa.int64(), False),
                pa.field("end_ms", pa.int64(), False),
                pa.field("kind", pa.string(), False),  # "gap" in the times, or "damage"
            ]
        ),
        False,
    )
)


@dataclass(frozen=True, slots=True)
class Lack:
    """A span of a track that holds silence in place of audio, or audio of another time."""

    start_ms: float
    end_ms: float
    kind: str

    def share_of(self, start_ms: int, end_ms: int) -> float:
        """Return the share of the span from start_ms to end_ms, which is not empty."""
        common_ms = min(self.end_ms, end_ms) - max(self.start_ms, start_ms)
        return max(0.0, common_ms) / (end_ms - start_ms)


def missing_rows(missing: Iterable[Missing], start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """Return the places that silence fills, as far as they lie in a block, for column `missing`."""
    rows = []
    for place in missing:
        start = max(start_ms, round(place.start_s * 1000))
        end = min(end_ms, round(place.end_s * 1000))
        if place.filled and start < end:
            rows.append({"start_ms": start, "end_ms": end, "kind": place.kind.value})
    return rows


def lacks_of_source(missing: Iterable[Missing]) -> list[Lack]:
    """Return what a source lacks for someone who knows its times from elsewhere.

    After a hole that was closed no time is right, so all of that counts as damage.
    """
    lacks = []
    for place in missing:
        if place.filled:
            lacks.append(Lack(place.start_s * 1000, place.end_s * 1000, place.kind.value))
        elif place.start_s > 0:  # else the recording as a whole begins late
            lacks.append(Lack(place.start_s * 1000, math.inf, Kind.DAMAGE.value))
    return lacks


def span_errors(uri: str, missing: Iterable[Missing], limits: DecodeLimits) -> Iterator[SpanError]:
    """Yield a row for every place that is damaged or was not filled."""
    for place in missing:
        start_ms, end_ms = round(place.start_s * 1000), round(place.end_s * 1000)
        where = f"{place.seconds:.2f} s of audio at {place.start_s:.2f} s"
        closed = "" if place.filled else "; what follows is moved up to it"
        if place.kind == Kind.DAMAGE and end_ms - start_ms > limits.jitter_ms:
            message = f"{uri}: {where} cannot be decoded{closed}"
            yield SpanError("decode_error", message, start_ms, end_ms)
        elif place.kind == Kind.GAP and not place.filled:
            message = f"{uri}: its times leave out {where}{closed}"
            yield SpanError("time_jump", message, start_ms, end_ms)
