"""How far a run is, and what is left."""

from __future__ import annotations

import pytest

from wavemill.pipeline.estimate import Cost
from wavemill.pipeline.execution.events import Event, Progress, ShardDone, TaskDone
from wavemill.pipeline.plan import StageLoad
from wavemill.pipeline.remaining import Remaining
from wavemill.pipeline.task import TaskResult

HOUR = 3_600_000


def done(stage: str, audio_ms: int, cpu_seconds: float, shard: str = "s") -> Event:
    return TaskDone(
        TaskResult(stage, shard, "", "", 0, 0, audio_ms, cpu_seconds, cpu_seconds, None)
    )


def remaining(**costs: float) -> Remaining:
    loads = [StageLoad("denoise", 1, HOUR), StageLoad("verdict", 1, HOUR), StageLoad("old", 0)]
    known = {stage: Cost(hours, 0.0, 0) for stage, hours in costs.items()}
    return Remaining(loads, known)


def test_progress_counts_once() -> None:
    work = remaining()
    assert work.share == 0
    assert work.seconds_left(5.0) is None
    assert work.audio_ms == HOUR
    for _ in range(2):
        work.add(Progress("denoise", "s", HOUR // 4))
    assert work.done_ms["denoise"] == HOUR // 2
    assert work.share == pytest.approx(0.5, abs=0.03)  # the verdict weighs next to nothing
    work.add(done("denoise", HOUR, 100.0))
    assert work.done_ms["denoise"] == HOUR
    work.add(done("verdict", HOUR, 1.0))
    work.add(ShardDone("s"))
    assert work.share == 1
    assert work.seconds_left(100.0) == 0


def test_what_was_measured_decides_what_a_stage_weighs() -> None:
    work = remaining(denoise=1.0, verdict=3.0)  # of CPU, before
    work.add(Progress("denoise", "s", HOUR))
    assert work.share == pytest.approx(0.25)
    assert work.seconds_left(10.0) == pytest.approx(30.0)
    work.add(done("denoise", HOUR, 3 * 3600.0))
    assert work.share == pytest.approx(0.5)


def test_nothing_to_do() -> None:
    work = Remaining([], {})
    assert (work.share, work.audio_ms) == (0.0, 0)
