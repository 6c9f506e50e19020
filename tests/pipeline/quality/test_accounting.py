"""Conservation: intervals against painting every millisecond, and losses that must be noticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.pipeline.quality.support import Shard, error_of, members_table, recording, write_workdir
from wavemill.manifests.recording import Item, Recording
from wavemill.pipeline.catalogue import CATALOGUE
from wavemill.pipeline.curation import all_scores
from wavemill.pipeline.quality.database import create_views, newest_snapshot
from wavemill.stages.score import rules_of
from wavemill.stages.segments import segment_id

NAMES = [rule.name for rule in rules_of(all_scores())]
DURATION = 300  # ms, of every recording in the property test
Paint = tuple[str, str | None]
TIMES = st.integers(0, DURATION)
SPANS = st.tuples(TIMES, TIMES).map(lambda t: (min(t), max(t))).filter(lambda t: t[0] < t[1])


@dataclass(frozen=True)
class Cut:
    """A segment: `broken` None is a segment that nobody judged."""

    start_ms: int
    end_ms: int
    track: int
    broken: tuple[str, ...] | None

    @property
    def paint(self) -> Paint:
        if self.broken is None:
            return "unjudged", None
        return ("rejected", self.broken[0]) if self.broken else ("kept", None)


@dataclass(frozen=True)
class Case:
    """One recording and what became of it."""

    cuts: tuple[Cut, ...]
    labelled: bool
    failed: bool
    decoded_ms: int
    regions: tuple[tuple[int, int], ...]
    damaged: tuple[tuple[int, int], ...] = ()


def _in_order(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=NAMES.index))


def _apart(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not found or start >= found[-1][1]:
            found.append((start, end))
    return tuple(found)


BROKEN = st.one_of(
    st.just(()),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(_in_order),
    st.none(),
)
CUTS = st.builds(
    lambda span, track, broken: Cut(*span, track, broken), SPANS, st.integers(0, 1), BROKEN
)
CASES = st.builds(
    Case,
    cuts=st.lists(CUTS, max_size=6, unique_by=lambda c: (c.start_ms, c.end_ms)).map(tuple),
    labelled=st.booleans(),
    failed=st.sampled_from([False, False, False, True]),
    decoded_ms=st.integers(DURATION - 60, DURATION + 20),
    regions=st.lists(SPANS, max_size=3).map(_apart),
    damaged=st.lists(SPANS, max_size=2).map(tuple),
).filter(lambda case: case.cuts or not case.labelled)


def _reference(case: Case) -> dict[Paint, int]:
    """Paint every millisecond, what comes last in the order first."""
    end = DURATION if case.labelled or case.failed else case.decoded_ms
    if case.failed:
        return {("error", None): end}
    canvas: dict[int, Paint] = dict.fromkeys(range(end), ("unused", None))
    if not case.labelled:
        for start, stop in case.regions or ((0, end),):
            canvas |= dict.fromkeys(range(start, min(stop, end)), ("non_speech", None))
        for start, stop in case.damaged:
            canvas |= dict.fromkeys(range(start, min(stop, end)), ("error", None))
    for cut in sorted(case.cuts, key=_order, reverse=True):
        stop = min(cut.end_ms, DURATION) if case.labelled else cut.end_ms
        canvas |= dict.fromkeys(range(cut.start_ms, stop), cut.paint)
    return dict(Counter(canvas.values()))


def _order(cut: Cut) -> int:
    kind, rule = cut.paint
    return {"kept": -1, "unjudged": len(NAMES)}.get(kind, NAMES.index(rule) if rule else 0)


def _write(case: Case, number: int, shard: Shard) -> Recording:
    """Add a recording and its rows to a shard."""
    items = tuple(
        Item(f"{i:02d}", cut.start_ms, cut.end_ms, text="x") for i, cut in enumerate(case.cuts)
    )
    labels: dict[str, object] = {"items": items} if case.labelled else {"regions": case.regions}
    rec = recording(number, DURATION, **labels)
    shard.recordings.append(rec)
    if not case.labelled:
        shard.decode(rec, case.decoded_ms)
        shard.decode(rec, case.decoded_ms, track=1)
    for cut in case.cuts:
        if case.labelled:
            key = segment_id(rec.recording_id, 0, cut.start_ms, cut.end_ms)
            shard.score(rec, key, cut.broken)
        else:
            shard.segment(rec, cut.start_ms, cut.end_ms, cut.broken, cut.track)
    return rec


@contextmanager
def _views(
    root: Path,
    shards: Sequence[Shard],
    failed: Sequence[Recording] = (),
    more: Sequence[dict[str, Any]] = (),
) -> Iterator[duckdb.DuckDBPyConnection]:
    errors = [error_of(rec, "score_text") for rec in failed]
    store = write_workdir(root, shards, [*errors, *more])
    with duckdb.connect() as database:
        create_views(database, store, newest_snapshot(store), "test")
        yield database


# Many recordings at once, since a WORKDIR takes most of the time; shrinking would take minutes.
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(CASES, min_size=20, max_size=60))
def test_classes_are_those_of_every_single_millisecond(cases: list[Case]) -> None:
    shard = Shard()
    recordings = [_write(case, number, shard) for number, case in enumerate(cases)]
    failed = [r for r, case in zip(recordings, cases, strict=True) if case.failed]
    spans = [
        error_of(rec, "decode") | {"reason": "decode_error", "start_ms": start, "end_ms": end}
        for rec, case in zip(recordings, cases, strict=True)
        for start, end in case.damaged
    ]
    with TemporaryDirectory() as root, _views(Path(root), [shard], failed, spans) as database:
        found: dict[str, dict[Paint, int]] = {r.recording_id: {} for r in recordings}
        for recording_id, kind, rule, ms in database.execute(
            "select recording_id, class, rule, ms from accounting_classes where ms <> 0"
        ).fetchall():
            found[recording_id][kind, rule] = ms
        expected = {
            r.recording_id: _reference(case) for r, case in zip(recordings, cases, strict=True)
        }
        assert found == expected
        differences = dict(
            database.execute("select recording_id, difference_ms from accounting").fetchall()
        )
    for rec, case in zip(recordings, cases, strict=True):
        painted = dict(expected[rec.recording_id])
        lost = painted.pop(("unjudged", None), 0)
        length = rec.duration_ms if case.labelled or case.failed else case.decoded_ms
        assert differences[rec.recording_id] == sum(painted.values()) - length
        assert case.failed or lost > 0 or sum(painted.values()) >= length


def _problems(database: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    return database.execute("select source, problem, ms from discrepancies order by all").fetchall()


def test_what_is_whole_has_no_discrepancy(tmp_path: Path) -> None:
    shard, rec = Shard(), recording(1, 90_000)
    shard.recordings.append(rec)
    shard.decode(rec, 89_995)  # a container may promise a little more
    shard.segment(rec, 1000, 5000)
    shard.segment(rec, 6000, 6500, ["too_short"])
    with _views(tmp_path, [shard]) as database:
        assert _problems(database) == []


def test_what_got_lost_is_named(tmp_path: Path) -> None:
    shard = Shard()
    block, verdict, corpus, short, everything = found = [recording(n, 90_000) for n in range(5)]
    shard.recordings = found
    for rec in (block, verdict, corpus):
        shard.decode(rec)
    del shard.rows["decode"][0]  # the first minute of the first one
    shard.segment(verdict, 1000, 5000, None)
    shard.segment(corpus, 1000, 5000, in_corpus=False)
    shard.decode(short, 80_000)
    assert everything.recording_id not in {r["recording_id"] for r in shard.rows["decode"]}
    with _views(tmp_path, [shard]) as database:
        assert _problems(database) == [
            (block.uri, "does not add up", -60_000),
            (verdict.uri, "does not add up", -4000),
            (corpus.uri, "kept, but in no corpus", -4000),
            (short.uri, "decoded too short", -10_000),
            (everything.uri, "does not add up", -90_000),
        ]


def test_a_recording_counts_in_the_shard_that_it_is_in_now(tmp_path: Path) -> None:
    """Its regions changed, so it left its shard, whose tables still have its old rows."""
    rec = recording(1, 10_000)
    before = Shard("a" * 16, left=[rec])
    before.decode(rec)
    before.segment(rec, 0, 9000)
    now = Shard("b" * 16, [rec])
    now.decode(rec)
    now.segment(rec, 1000, 4000)
    with _views(tmp_path, [before, now]) as database:
        kept = database.execute("select kept_ms, difference_ms from accounting").fetchall()
        assert kept == [(3000, 0)]


def test_a_build_that_did_not_end_changes_nothing(tmp_path: Path) -> None:
    """The catalogue is ahead of the snapshot: one recording is gone, one is in a new shard."""
    gone, moved = recording(1, 10_000), recording(2, 10_000)
    shard = Shard("a" * 16, [gone, moved])
    for rec in (gone, moved):
        shard.decode(rec)
        shard.segment(rec, 1000, 4000)
    store = write_workdir(tmp_path, [shard])
    later = [Shard("a" * 16, left=[gone, moved]), Shard("b" * 16, [moved])]
    store.write_table(CATALOGUE, members_table(later))
    with duckdb.connect() as database:
        create_views(database, store, newest_snapshot(store), "test")
        kept = database.execute("select kept_ms, difference_ms from accounting").fetchall()
        assert kept == [(3000, 0), (3000, 0)]
