"""Long recordings in pieces: the same tables as by one worker, whatever happens to a piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.pipeline.execution.long_toys import long_graph, made, plan_of, raising
from tests.pipeline.toys import recording
from wavemill.manifests.reasons import Reason
from wavemill.pipeline.dividing import divider, undivided
from wavemill.pipeline.execution.events import Progress, ShardDone, TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.execution.limits import Limits
from wavemill.pipeline.execution.shard_run import ShardRun
from wavemill.pipeline.execution.supervisor import Supervisor, worker_job
from wavemill.pipeline.graph import Graph
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import TaskResult

HOUR = 3_600_000
RECORDINGS = [
    recording("bad", HOUR),
    recording("good", HOUR),
    recording("short", 30_000),
    recording("late", HOUR // 2),
]


def built(
    store: Store, make: Callable[[], Graph], piece_seconds: float | None, shard_seconds: int = 9000
) -> tuple[dict[str, object], list[Progress]]:
    """Run to the end; return what was made, and the progress that was told."""
    plan = plan_of(store, make(), RECORDINGS, shard_seconds)
    results: list[TaskResult] = []
    progress: list[Progress] = []
    for event in run_inline(plan, make, store, piece_seconds):
        if isinstance(event, TaskDone):
            results.append(event.result)
            plan.ledger.add(event.result)
        elif isinstance(event, Progress):
            progress.append(event)
    plan.ledger.flush()
    return made(store, results), progress


def leftovers(store: Store) -> list[str]:
    return [file.key for file in store.files("stages") if file.key.endswith(".tmp")]


@pytest.mark.parametrize("piece_seconds", [60, 400, 1700])
@pytest.mark.parametrize(
    "reason", ["none", "span", "unforeseen", "bad_number", Reason.SOURCE_CHANGED]
)
def test_the_tables_are_those_of_one_worker(
    tmp_path: Path, reason: str, piece_seconds: float
) -> None:
    make = partial(long_graph, trouble=partial(raising, reason)) if reason != "none" else long_graph
    whole, silence = built(Store.open(tmp_path / "whole"), make, None)
    store = Store.open(tmp_path / "pieces")
    pieces, progress = built(store, make, piece_seconds)
    assert not silence
    assert {event.stage for event in progress} == {"treble", "quarter", "weigh"}
    assert pieces == whole
    assert not leftovers(store)


def test_a_run_that_dies_loses_one_piece(tmp_path: Path) -> None:
    log, store = tmp_path / "log", Store.open(tmp_path / "work")
    with pytest.raises(MemoryError):
        built(store, partial(long_graph, log, die_at=20), 600, 60)
    assert leftovers(store)
    before = _calls(log)
    again, _ = built(store, partial(long_graph, log), 600, 60)
    after = _calls(log)
    repeated = {key for key, count in after.items() if count > 1}
    # Pieces of 9 rows, of which the third died at its third.
    assert {number for stage, _, number in repeated if stage == "treble"} == {18, 19, 20}
    assert len(after) > len(before)
    whole, _ = built(Store.open(tmp_path / "whole"), long_graph, None, 60)
    assert again == whole
    assert not leftovers(store)


def _calls(log: Path) -> Counter[tuple[str, str, int]]:
    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    return Counter((stage, uri, int(number)) for stage, uri, number in lines)


def supervised(
    plan: Plan, supervisor: Supervisor, store: Store, piece_seconds: float | None
) -> list[TaskResult]:
    """Run as one worker does."""
    divide = undivided if piece_seconds is None else divider(store, piece_seconds)
    results: list[TaskResult] = []
    for shard in plan.unfinished():
        run = ShardRun(shard, divide)
        while (task := run.take(plan.graph.stages)) is not None:
            result = supervisor.run(task)
            run.finish(task, result)
            if type(result) is TaskResult:
                results.append(result)
    return results


def test_a_recording_that_kills_workers_leaves_an_error_and_no_row(tmp_path: Path) -> None:
    make = partial(long_graph, trouble=partial(raising, "abort"), log=tmp_path / "log")
    found = []
    for name, piece_seconds in (("whole", None), ("pieces", 600)):
        store = Store.open(tmp_path / name)
        plan = plan_of(store, make(), RECORDINGS, 20_000)
        supervisor = Supervisor(worker_job(make, store, "cpu"), Limits(attempts=2))
        try:
            found.append(made(store, supervised(plan, supervisor, store, piece_seconds)))
        finally:
            supervisor.close()
    assert found[0] == found[1]
    (key,) = [key for key in found[0] if "/treble/" in key]
    _, rows, errors, _ = found[0][key]  # type: ignore[misc]
    assert [error["reason"] for error in errors] == ["worker_crashed"]
    assert not [row for row in rows if row["segment_id"].startswith("bad")]


def test_stages_side_by_side_and_pieces_in_order(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store, long_graph(), [recording("good", HOUR)], 60)
    (shard,) = plan.unfinished()
    run = ShardRun(shard, divider(store, 600))
    assert run.stages() == ["draw"]
    for event in run_inline(plan, long_graph, store):
        if isinstance(event, ShardDone):
            break
        if isinstance(event, TaskDone) and event.result.stage == "draw":
            task = run.take(["draw"])
            assert task is not None
            run.finish(task, event.result)
    assert Counter(run.stages()) == {"treble": 5, "quarter": 6}
    assert run.take(["weigh"]) is None
    taken = [run.take(["quarter"]) for _ in range(6)]
    rows = [(t.piece.first, t.piece.end) for t in taken if t is not None and t.piece is not None]
    assert rows == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 35), (35, 40)]
    audio = [t.piece.audio_ms for t in taken if t is not None and t.piece is not None]
    assert sum(audio) == HOUR
