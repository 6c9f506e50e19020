"""What a run's time was spent on."""

from __future__ import annotations

import io

from rich.console import Console

from wavemill.jobs.plain import Terminal
from wavemill.jobs.summary import print_stage_times
from wavemill.pipeline.execution.events import Progress, TaskDone
from wavemill.pipeline.stage_times import StageTimes
from wavemill.pipeline.task import TaskResult


def done(stage: str, audio_ms: int, seconds: float, cpu_seconds: float) -> TaskDone:
    return TaskDone(TaskResult(stage, "s", "", "", 0, 0, audio_ms, seconds, cpu_seconds, None))


def test_the_times_of_all_shards_are_added_up() -> None:
    times = StageTimes()
    times.add(done("verdict", 60_000, 0.0, 0.0))
    for _ in range(2):
        times.add(Progress("denoise", "s", 30_000))
        times.add(done("denoise", 60_000, 5.0, 3.0))
    verdict, denoise = times.all()
    assert (denoise.audio_ms, denoise.seconds, denoise.cpu_seconds) == (120_000, 10.0, 6.0)
    assert (denoise.waiting, denoise.speed) == (4.0, 12.0)
    assert (verdict.waiting, verdict.speed) == (0.0, 0.0)


def test_the_stage_that_took_most_is_printed_first() -> None:
    times = StageTimes()
    times.add(done("verdict", 60_000, 0.1, 0.1))
    times.add(done("denoise", 60_000, 5.0, 3.0))
    console = Terminal(file=io.StringIO(), width=80)
    assert isinstance(console, Console)
    print_stage_times(console, times.all())
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert [line[0] for line in lines if line[:1] in (["verdict"], ["denoise"])] == [
        "denoise",
        "verdict",
    ]
    assert ["denoise", "1:00.0", "min", "5.0", "3.0", "2.0", "12.0"] in lines
