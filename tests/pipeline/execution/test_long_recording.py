"""One long recording on many simulated workers: what the scheduler gives to whom."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.pipeline.execution.long_toys import long_graph, made, plan_of
from tests.pipeline.execution.simulated_ray import SimulatedRay
from tests.pipeline.toys import recording
from wavemill.manifests.recording import Recording
from wavemill.pipeline.execution import on_ray
from wavemill.pipeline.execution.events import Event, Progress, ShardDone, ShardFailed, TaskDone
from wavemill.pipeline.execution.inline import run_inline
from wavemill.pipeline.execution.runner import TaskRunner
from wavemill.pipeline.execution.settings import ExecutionSettings, GroupSettings
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import Task

HOUR = 3_600_000
ROWS = 480
LONG = [recording("long", HOUR)]
graph = partial(long_graph, rows=ROWS)


def seconds(task: Task) -> float:
    """As long as the audio, where the stage is divided; the others cost little."""
    if task.piece is not None:
        return task.piece.audio_ms / 1000
    if task.pieces:
        return 1.0
    share = 1.0 if task.stage in ("treble", "quarter", "weigh") else 0.002
    return share * sum(r.duration_ms for r in task.recordings) / 1000


class Simulation:
    """A run on simulated workers, and what came of it."""

    def __init__(
        self,
        root: Path,
        patch: pytest.MonkeyPatch,
        recordings: list[Recording],
        cpus: int,
        loses: Callable[[Task], bool] = lambda _: False,
        **settings: object,
    ) -> None:
        self.store = Store.open(root)
        runner = TaskRunner(graph, self.store, "cpu")
        self.ray = SimulatedRay(runner, cpus, seconds, loses)
        patch.setattr(on_ray, "ray_session", self.ray.session)
        plan = plan_of(self.store, graph(), recordings, 60)
        chosen = ExecutionSettings.model_validate({"piece_seconds": 60, **settings})
        self.events: list[Event] = list(on_ray.run_on_ray(plan, graph, self.store, chosen))
        results = [event.result for event in self.events if isinstance(event, TaskDone)]
        self.made = made(self.store, results)

    def utilisation(self, cpus: int) -> float:
        return self.ray.busy / (self.ray.now * cpus)


def inline(root: Path, recordings: list[Recording]) -> dict[str, object]:
    store = Store.open(root)
    plan = plan_of(store, graph(), recordings, 60)
    events = run_inline(plan, graph, store)
    return made(store, [event.result for event in events if isinstance(event, TaskDone)])


def test_sixteen_workers_share_one_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Simulation(tmp_path / "one", monkeypatch, LONG, 1)
    many = Simulation(tmp_path / "many", monkeypatch, LONG, 16)
    assert many.ray.workers == 16
    assert one.ray.now > 13 * many.ray.now
    assert many.made == one.made == inline(tmp_path / "inline", LONG)


def test_progress_goes_on_and_comes_to_the_whole_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Simulation(tmp_path, monkeypatch, LONG, 4)
    told = [event for event in found.events if isinstance(event, Progress)]
    for stage in ("treble", "quarter", "weigh"):
        assert sum(event.audio_ms for event in told if event.stage == stage) == HOUR
    assert max(event.audio_ms for event in told) <= 90_000
    assert len([event for event in found.events if isinstance(event, ShardDone)]) == 1


def test_one_hour_is_as_fast_as_sixty_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = Simulation(tmp_path / "hour", monkeypatch, LONG, 2)
    minutes = [recording(f"m{number}", 60_000) for number in range(60)]
    sixty = Simulation(tmp_path / "sixty", monkeypatch, minutes, 2)
    assert sixty.ray.now > 0.9 * hour.ray.now
    assert not [event for event in sixty.events if isinstance(event, Progress)]


def test_lost_workers_cost_their_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[Task] = []

    def loses(task: Task) -> bool:
        if task.piece is None or len(lost) == 3 or task.piece.first < 100:
            return False
        lost.append(task)
        return True

    found = Simulation(tmp_path / "lossy", monkeypatch, LONG, 8, loses)
    assert len(lost) == 3
    assert not [event for event in found.events if isinstance(event, ShardFailed)]
    assert found.made == inline(tmp_path / "inline", LONG)


def test_a_piece_that_loses_every_worker_gives_its_shard_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses(task: Task) -> bool:
        return task.stage == "treble" and task.piece is not None and task.piece.first == 0

    others = [recording(f"m{number}", 60_000) for number in range(8)]
    found = Simulation(tmp_path, monkeypatch, LONG + others, 4, loses, shard_attempts=2)
    assert len([event for event in found.events if isinstance(event, ShardFailed)]) == 1
    assert len([event for event in found.events if isinstance(event, ShardDone)]) >= 7


def test_groups_work_on_stages_of_one_shard_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {
        "treble": GroupSettings(stages=("treble",), max_workers=3),
        "weigh": GroupSettings(stages=("weigh",)),
        "rest": GroupSettings(),
    }
    found = Simulation(tmp_path / "groups", monkeypatch, LONG, 12, groups=groups)
    assert found.made == inline(tmp_path / "inline", LONG)
    assert found.utilisation(12) > 0.2
