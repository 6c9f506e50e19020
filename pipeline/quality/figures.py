"""The numbers of the quality page, read from DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from wavemill.pipeline.quality.change import Change, read_change
from wavemill.pipeline.quality.database import has_conversations
from wavemill.pipeline.quality.distributions import Distribution, read_distributions
from wavemill.pipeline.quality.scores import ShownScore, shown_scores
from wavemill.pipeline.quality.totals import Totals, read_totals
from wavemill.pipeline.quality.what_if import WhatIf, read_what_if
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store

SHOWN = 15  # languages, sources, speakers: the rest is one row more
ERRORS_SHOWN = 200


@dataclass(frozen=True)
class Headline:
    segments: int
    kept_segments: int
    speakers: int
    languages: int
    median_dnsmos: float | None  # of kept segments, as the next two
    median_snr_db: float | None
    median_confidence: float | None


@dataclass(frozen=True)
class Step:
    """A stage of the funnel: hours and recordings that enter and leave it."""

    stage: str
    hours_in: float
    hours_out: float
    recordings_in: int
    recordings_out: int


@dataclass(frozen=True)
class Share:
    """Hours of one source, language or speaker. `name` is None where nobody named it."""

    name: str | None
    recording: str | None  # of a speaker that is known within one recording only: its source
    hours: float
    kept: float
    rejected: float
    non_speech: float  # this and the next: of sources only
    error: float
    count: int  # recordings of a source, segments of others
    rest: int = 0  # so many names are summed up in this row


@dataclass(frozen=True)
class RuleRow:
    """A row of the view `rejections_by_rule`."""

    rule: str
    segments: int
    hours: float
    first_segments: int
    first_hours: float
    only_segments: int
    only_hours: float


@dataclass(frozen=True)
class Failure:
    stage: str
    reason: str
    source: str
    message: str


@dataclass(frozen=True)
class Speed:
    stage: str
    outputs: int
    audio_hours: float
    worker_hours: float
    times_real_time: float | None


@dataclass(frozen=True)
class SpokenYield:
    """A row of the view `spoken_yield`: clips in one voice of one kind of text."""

    voice: str
    kind: str
    clips: int
    kept: int
    attempts: float
    word_error: float
    hours: float


@dataclass(frozen=True)
class Figures:
    snapshot: int
    created: str  # UTC
    workdir: str
    wavemill: str
    totals: Totals
    headline: Headline
    funnel: tuple[Step, ...]
    scores: tuple[ShownScore, ...]  # what the page says of each column that it shows
    distributions: tuple[Distribution, ...]
    sources: tuple[Share, ...]
    languages: tuple[Share, ...]
    speakers: tuple[Share, ...]
    rules: tuple[RuleRow, ...]
    what_if: tuple[WhatIf, ...]
    change: Change | None  # None: there is no snapshot before
    failures: tuple[Failure, ...]  # the first of them; totals.errors counts all
    speed: tuple[Speed, ...]
    spoken: tuple[SpokenYield, ...] = ()  # of written conversations


def read_figures(database: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot) -> Figures:
    """Read all figures from the page's database (`shard_rows.page_database`)."""

    def rows(query: str) -> list[tuple[Any, ...]]:
        return database.execute(query).fetchall()

    ((number, created, workdir, wavemill),) = rows(_ABOUT)
    return Figures(
        snapshot=number,
        created=created,
        workdir=workdir,
        wavemill=wavemill,
        totals=read_totals(database),
        headline=Headline(*rows(_HEADLINE)[0]),
        funnel=tuple(Step(*row) for row in rows(_FUNNEL)),
        scores=shown_scores(),
        distributions=read_distributions(database),
        sources=_shares(database, _SOURCES),
        languages=_shares(database, _LANGUAGES),
        speakers=_shares(database, _SPEAKERS),
        rules=tuple(RuleRow(*row) for row in rows("from rejections_by_rule")),
        what_if=read_what_if(database),
        change=read_change(store, snapshot),
        failures=tuple(Failure(*row) for row in rows(_FAILURES)),
        speed=tuple(Speed(*row) for row in rows(_SPEED)),
        spoken=tuple(SpokenYield(*row) for row in rows(_SPOKEN))
        if has_conversations(snapshot)
        else (),
    )


def _shares(database: duckdb.DuckDBPyConnection, query: str) -> tuple[Share, ...]:
    """Read the first rows of a query and sum up the others.

    The query gives all fields of Share except `rest`.
    """
    database.execute(f"create or replace temp table shares as {query}")
    found = database.execute(f"from shares limit {SHOWN}").fetchall()
    ((count, *sums),) = database.execute(
        f"select count(*), {_SUMS} from (from shares offset {SHOWN})"
    ).fetchall()
    shares = [Share(*row) for row in found]
    if count:
        shares.append(Share(*(None, None, *sums, count)))
    return tuple(shares)


_SUMS = (
    ", ".join(f"sum({name})" for name in ("hours", "kept", "rejected", "non_speech", "error"))
    + ", sum(count)::bigint"
)
_ABOUT = """
select number, strftime(created, '%Y-%m-%d %H:%M'), workdir, about.wavemill
from about join snapshots on number = snapshot
"""
_HEADLINE = """
select count(*), count(*) filter (kept), (select count(*) from hours_by_speaker),
       count(distinct language), median(dnsmos_overall) filter (kept),
       median(snr_db) filter (kept), median(asr_confidence) filter (kept)
from seen
"""
_FUNNEL = "select stage, hours_in, hours_out, recordings_in, recordings_out from funnel"
_SOURCES = """
select source as name, null::varchar as recording, hours, kept_hours as kept,
       rejected_hours as rejected, non_speech_hours + unused_hours as non_speech,
       error_hours as error, recordings as count
from hours_by_source order by hours desc, source
"""
_LANGUAGES = """
select language as name, null::varchar as recording, hours, kept_hours as kept,
       rejected_hours as rejected, 0::double as non_speech,
       greatest(0, hours - kept_hours - rejected_hours) as error, segments as count
from hours_by_language order by kept_hours desc, hours desc, language
"""
_SPEAKERS = """
select speaker as name, source as recording, hours, kept_hours as kept,
       hours - kept_hours as rejected, 0::double as non_speech, 0::double as error,
       segments as count
from hours_by_speaker order by kept_hours desc, hours desc, recording_id, speaker
"""
_FAILURES = f"""
select stage, reason, source, message from errors
order by stage, reason, source limit {ERRORS_SHOWN}
"""
_SPEED = "select stage, outputs, audio_hours, worker_hours, times_real_time from stage_speed"
_SPOKEN = """
select voice, kind, clips, kept_clips, attempts, word_error, hours from spoken_yield
"""
