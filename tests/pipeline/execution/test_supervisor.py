"""Real processes that crash, hang and are killed: what is left is as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.pipeline.execution.trouble import (
    TROUBLES,
    TroubleBuild,
    is_gone,
    no_child_left,
    pids_in,
    program,
    run_supervised,
    trouble_graph,
    wait_until,
)
from tests.pipeline.toys import recording
from wavemill.pipeline.execution.events import ShardFailed
from wavemill.pipeline.execution.faults import DiskFull, WorkerUnavailable
from wavemill.pipeline.execution.limits import Limits
from wavemill.pipeline.execution.supervisor import Supervisor, worker_job
from wavemill.pipeline.store import Store
from wavemill.stages.engine import EngineUnavailable

HEALTHY = [recording(f"r{i}") for i in range(8)]
SHORT = Limits(
    recording_timeout_s=1.0,
    timeout_per_audio_s=0.1,  # what is healthy lasts a minute: 6 s for it
    load_timeout_s=60.0,
    memory_bytes=600_000_000,
    attempts=2,
    task_attempts=3,
)


def supervisor_of(build: TroubleBuild, limits: Limits = SHORT) -> Supervisor:
    return Supervisor(worker_job(build.graph, build.store, "cpu"), limits)


def test_every_trouble_is_one_error_row_and_the_rest_is_as_ever(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path / "a")
    # What must not time out has ten minutes, even on a busy machine: it is 100 minutes long.
    seconds = {name: 1 if TROUBLES[name][0] == "timed_out" else 6000 for name in TROUBLES}
    troubled = [recording(name, 1000 * seconds[name]) for name in TROUBLES]
    plan = build.plan([*HEALTHY, *troubled])
    with no_child_left(), closing(supervisor_of(build)) as supervisor:
        build.finish(plan, run_supervised(plan, supervisor))
    errors = build.errors()
    assert set(errors) == set(TROUBLES)
    for name, (reason, part, _) in TROUBLES.items():
        assert errors[name][0] == reason, name
        assert part in errors[name][1], name
    assert "trouble.py" in errors["abort"][1]  # where it crashed
    assert "each of 2 times" in errors["spin"][1]
    assert build.rows() == TroubleBuild(tmp_path / "b").inline(HEALTHY).rows()


@contextmanager
def killer(log: Path, kills: int, seed: int) -> Iterator[list[int]]:
    """Kill whatever process draws, each time after a few more draws; gives the killed."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        rng, drawn = random.Random(seed), 0
        while len(killed) < kills and not ended.is_set():
            target = drawn + rng.randint(2, 5)  # never the same recording three times on end
            while len(pids_in(log)) < target and not ended.wait(0.002):
                pass
            pids = pids_in(log)
            drawn = len(pids)
            if pids and not is_gone(pids[-1]):
                os.kill(pids[-1], signal.SIGKILL)
                killed.append(pids[-1])

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    ended.set()
    thread.join()


def test_killing_children_changes_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    build = TroubleBuild(tmp_path / "a", partial(trouble_graph, pause_s=0.05, log=log))
    plan = build.plan(HEALTHY)
    patient = Limits(attempts=3, task_attempts=10)
    with closing(supervisor_of(build, patient)) as supervisor, killer(log, 6, seed=4) as killed:
        build.finish(plan, run_supervised(plan, supervisor))
    assert len(killed) >= 3
    assert build.errors() == {}
    assert build.rows() == TroubleBuild(tmp_path / "b").inline(HEALTHY).rows()


def test_a_missing_engine_ends_the_run_with_its_message(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path, partial(trouble_graph, load="unavailable"))
    with (
        closing(supervisor_of(build)) as supervisor,
        pytest.raises(EngineUnavailable, match="engine 'toy' is not there"),
    ):
        list(run_supervised(build.plan(HEALTHY), supervisor))


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("abort", r"SIGABRT.*while loading the engine of draw"),
        ("spin", r"longer than 10 s \(while loading.*load_timeout_s"),
        ("hoard", r"0.6 GB of memory \(while loading.*worker_memory_gb"),
    ],
)
def test_an_engine_that_kills_its_worker_ends_the_run(
    tmp_path: Path, load: str, message: str
) -> None:
    build = TroubleBuild(tmp_path, partial(trouble_graph, load=load))
    limit_s = 10.0 if load == "spin" else 120.0
    limits = Limits(load_timeout_s=limit_s, memory_bytes=600_000_000, task_attempts=1)
    with (
        closing(supervisor_of(build, limits)) as supervisor,
        pytest.raises(WorkerUnavailable, match=message),
    ):
        list(run_supervised(build.plan(HEALTHY), supervisor))


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path)
    with (
        closing(Supervisor(b"no pickle", SHORT)) as supervisor,
        pytest.raises(Exception, match="pickle"),
    ):
        list(run_supervised(build.plan(HEALTHY), supervisor))


def test_a_wrong_schema_is_a_bug_and_is_shown_where_it_is(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path)
    plan = build.plan([recording("misfit")])
    with (
        closing(supervisor_of(build)) as supervisor,
        pytest.raises(Exception, match=r"schema|field|column") as caught,
    ):
        list(run_supervised(plan, supervisor))
    assert "in run_task" in "".join(caught.value.__notes__)


class FullStore(Store):
    """Every table is written where there is no space."""

    def replacing(self, key: str):  # type: ignore[no-untyped-def]
        return _at(Path("/dev/full") if key.startswith("stages") else self.path(key))


class AbortingStore(Store):
    """The process dies as soon as a table is begun."""

    def replacing(self, key: str):  # type: ignore[no-untyped-def]
        print(key)
        os.abort()


@contextmanager
def _at(path: Path) -> Iterator[Path]:
    yield path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_run_with_a_remedy(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path)
    plan = build.plan(HEALTHY)
    build.store = FullStore.open(build.store.root)
    with (
        closing(supervisor_of(build)) as supervisor,
        pytest.raises(DiskFull, match=r"no space left .* MB are free .* run the same command"),
    ):
        list(run_supervised(plan, supervisor))


def test_a_death_outside_recordings_gives_the_shard_up(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path)
    plan = build.plan(HEALTHY, shard_seconds=10_000)
    build.store = AbortingStore.open(build.store.root)
    with closing(supervisor_of(build)) as supervisor:
        (event,) = run_supervised(plan, supervisor)
    assert isinstance(event, ShardFailed)
    assert "SIGABRT" in event.message
    assert "attempts: 3" in event.message


SPINNING = """
from functools import partial
from pathlib import Path
from tests.pipeline.execution.test_supervisor import *
build = TroubleBuild(Path({root!r}), partial(trouble_graph, log=Path({log!r})))
with closing(supervisor_of(build, Limits())) as supervisor:
    list(run_supervised(build.plan([recording({name!r})]), supervisor))
"""


@pytest.mark.parametrize("name", ["spin", "native"])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_no_child_outlives_its_supervisor(tmp_path: Path, name: str, sent: signal.Signals) -> None:
    log = tmp_path / "log"
    code = SPINNING.format(root=str(tmp_path), log=str(log), name=name)
    with subprocess.Popen(program(code), stderr=subprocess.DEVNULL) as supervisor:
        assert wait_until(lambda: bool(pids_in(log)))
        supervisor.send_signal(sent)
        supervisor.wait(30)  # without a signal it would be minutes
    (child,) = set(pids_in(log))
    assert wait_until(lambda: is_gone(child), 30)
