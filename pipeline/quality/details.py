"""What is known of single segments, as a person looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from wavemill.pipeline.quality.scores import columns_at
from wavemill.stages.score import Place

TEXT_LENGTH = 600  # characters; longer transcripts are cut


@dataclass(frozen=True)
class Sound:
    """The audio of a segment. `webm` is empty where a server has it."""

    version: str  # original or enhanced
    peaks: str  # base64 of uint8, full scale 255
    webm: str = ""  # base64


@dataclass(frozen=True)
class Broken:
    rule: str
    value: float | str | None
    threshold: float | str | None


@dataclass(frozen=True)
class Sample:
    segment_id: str
    source: str
    start_ms: int
    end_ms: int
    speaker: str
    language: str | None
    text: str | None
    status: str
    audio_version: str | None  # of which the corpus has the samples
    scores: dict[str, float | None]  # by column; those that a card shows
    broken: tuple[Broken, ...]
    sounds: tuple[Sound, ...] = ()  # none where no audio is stored


def detail_columns() -> tuple[str, ...]:
    """Return the columns of `seen` of which a Sample is made."""
    return (*_COLUMNS, *columns_at(Place.CARD))


def read_details(database: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, Sample]:
    """Return segments by their ids, without sounds, from the table `seen`."""
    columns = detail_columns()
    rows = database.execute(_DETAILS.format(columns=", ".join(columns)), [list(ids)]).fetchall()
    samples = (sample_of(dict(zip(columns, row, strict=True))) for row in rows)
    return {sample.segment_id: sample for sample in samples}


def sample_of(row: dict[str, Any]) -> Sample:
    """Return a segment, without sounds, of its values in `detail_columns`."""
    broken = tuple(
        Broken(b["rule"], _either(b, "value"), _either(b, "threshold"))
        for b in row.pop("broken") or ()
    )
    values = {name: row.pop(name) for name in columns_at(Place.CARD)}
    text = _shortened(row.pop("text"))
    return Sample(**row, text=text, scores=values, broken=broken)


def _either(broken: dict[str, Any], name: str) -> float | str | None:
    value: float | str | None = broken[name]
    return broken[f"{name}_text"] if value is None else value


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + " …"


_COLUMNS = (
    "segment_id",
    "source",
    "start_ms",
    "end_ms",
    "speaker",
    "language",
    "text",
    "status",
    "audio_version",
    "broken",
)
_DETAILS = """
select {columns}
from seen semi join (select unnest(?::varchar[]) as segment_id) using (segment_id)
"""
