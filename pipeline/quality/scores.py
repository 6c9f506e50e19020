"""The scores as the quality database and the page show them, from what the stages declare."""

from __future__ import annotations

from dataclasses import dataclass

from wavemill.pipeline.curation import all_scores, scoring_stages
from wavemill.stages.decode.stage import Decode
from wavemill.stages.diarize.stage import Diarize
from wavemill.stages.score import COUNT, Place, Score, derived, shown, stored
from wavemill.stages.transcribe.stage import Transcribe
from wavemill.stages.verdict.stage import Verdict

# Columns of the view `segments` that segments.sql makes itself.
_IN_SEGMENTS = frozenset({"duration_s", "language"})
# Where a value stands before it is copied to the scores, and how segments.sql calls that table.
_COPIED_FROM = {"c": Diarize.schema, "t": Transcribe.schema}


@dataclass(frozen=True)
class ShownScore:
    """What the page says of a column of `segments`."""

    column: str
    title: str
    name: str  # the title where there is little room
    unit: str
    scale: str  # what values without a unit lie between
    digits: int  # after the point
    better: str | None  # higher or lower; None: neither, or it depends
    in_table: bool


def stages_shown() -> tuple[str, ...]:
    """Return the stages whose tables the views read, in build order."""
    scoring = [stage.name for stage in scoring_stages()]
    return (Decode.name, Diarize.name, Transcribe.name, *scoring, Verdict.name)


def shown_scores() -> tuple[ShownScore, ...]:
    """Return the scores that the page shows, in its order."""
    return tuple(
        ShownScore(
            score.column,
            score.title,
            score.name,
            score.unit,
            score.scale,
            score.digits,
            score.better,
            score.place >= Place.TABLE,
        )
        for score in shown(all_scores(), Place.CARD)
    )


def columns_at(place: Place) -> tuple[str, ...]:
    """Return the columns of the scores that are shown at a place, in order."""
    return tuple(score.column for score in shown(all_scores(), place))


def seen_columns() -> list[str]:
    """SQL: the columns of the table `seen`, one for each number."""
    return [
        f"{s.column}::double as {s.column}" if s.kind == COUNT else s.column
        for s in shown(all_scores(), Place.VIEWS)
    ]


def segment_scores() -> str:
    """SQL: the stored scores as columns of `segments`; each table is called as its stage."""
    return ",\n".join(
        _coalesced(stage.name, score)
        for stage in scoring_stages()
        for score in stored(stage.scores)
        if score.column not in _IN_SEGMENTS
    )


def derived_scores() -> str:
    """SQL: what computes the other scores, each after a comma, from the columns of `segments`."""
    return "".join(f", {score.sql} as {score.column}" for score in derived(all_scores()))


def score_joins() -> str:
    """SQL: the tables of the scoring stages, joined to segments."""
    return "\n".join(
        f"left join base.{stage.name} as {stage.name} using (recording_id, shard_id, segment_id)"
        for stage in scoring_stages()
    )


def _coalesced(table: str, score: Score) -> str:
    """SQL: a stored score; of a segment that was not scored, what the stage before knew of it."""
    before = [name for name, schema in _COPIED_FROM.items() if score.column in schema.names]
    values = ", ".join(f"{name}.{score.column}" for name in (table, *before))
    return f"coalesce({values}) as {score.column}" if before else values
