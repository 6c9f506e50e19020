"""Losing workers, machines and the driver; clusters with little room."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipeline.execution.trouble import (
    TroubleBuild,
    is_gone,
    pids_in,
    program,
    trouble_graph,
    wait_until,
)
from tests.pipeline.toys import recording
from wavemill.pipeline.execution.events import Event, ShardFailed
from wavemill.pipeline.execution.faults import ClusterTooSmall
from wavemill.pipeline.execution.on_ray import run_on_ray
from wavemill.pipeline.execution.settings import ExecutionSettings, GroupSettings
from wavemill.stages.engine import EngineUnavailable

HEALTHY = [recording(f"r{i}") for i in range(12)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two machines with one CPU each (processes on this one)."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return TroubleBuild(tmp_path_factory.mktemp("inline")).inline(HEALTHY).rows()


def run(
    build: TroubleBuild,
    settings: ExecutionSettings,
    when: Callable[[int], None] = lambda _: None,
    names: tuple[str, ...] = (),
) -> list[Event]:
    """Build; `when` is told the number of each event."""
    plan = build.plan([*HEALTHY, *(recording(name) for name in names)], shard_seconds=120)

    def events() -> Iterator[Event]:
        for number, event in enumerate(run_on_ray(plan, build.graph, build.store, settings)):
            when(number)
            yield event

    return build.finish(plan, events())


TWO_GROUPS = {"first": GroupSettings(stages=("draw",)), "second": GroupSettings()}


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_loses_nothing(
    tmp_path: Path, undisturbed: list[dict[str, object]]
) -> None:
    log = tmp_path / "log"
    build = TroubleBuild(tmp_path, partial(trouble_graph, pause_s=0.1, log=log))
    killed: list[int] = []

    def kill(number: int) -> None:
        if number in (4, 12) and wait_until(lambda: not is_gone(pids_in(log)[-1])):
            supervisor = psutil.Process(pids_in(log)[-1]).parent()
            assert supervisor is not None
            assert "RayWorker" in " ".join(supervisor.cmdline())
            killed.append(supervisor.pid)
            supervisor.kill()

    settings = ExecutionSettings(groups=TWO_GROUPS, recording_timeout_s=60)
    run(build, settings, kill, names=("abort",))
    assert len(set(killed)) == 2
    assert set(build.errors()) == {"abort"}
    assert build.rows() == undisturbed


def test_the_cluster_shrinks_and_grows_during_a_run(
    cluster: Any, tmp_path: Path, undisturbed: list[dict[str, object]]
) -> None:
    """Two groups on two machines, then on one, then on two again."""
    build = TroubleBuild(tmp_path, partial(trouble_graph, pause_s=0.1))
    alive: list[int] = []

    def change(number: int) -> None:
        if number == 5:
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        elif number == 22:
            cluster.add_node(num_cpus=1)
        alive.append(len(cluster.list_all_nodes()))

    events = run(build, ExecutionSettings(groups=TWO_GROUPS), change)
    if len(cluster.list_all_nodes()) == 1:
        cluster.add_node(num_cpus=1)
    assert 1 in alive
    assert not [event for event in events if isinstance(event, ShardFailed)]
    assert build.errors() == {}
    assert build.rows() == undisturbed


@pytest.mark.usefixtures("cluster")
def test_more_groups_than_machines_take_turns(
    tmp_path: Path, undisturbed: list[dict[str, object]]
) -> None:
    groups = {
        "a": GroupSettings(stages=("draw",)),
        "b": GroupSettings(stages=("double",)),
        "c": GroupSettings(stages=("gather",)),
    }
    build = TroubleBuild(tmp_path)
    run(build, ExecutionSettings(groups=groups))
    assert build.rows() == undisturbed


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("group", "address", "timeout_s", "message"),
    [
        (
            GroupSettings(num_cpus=3),
            None,
            2,
            "a worker needs 3 CPUs; no machine .* more than 1 CPUs",
        ),
        (GroupSettings(num_gpus=1), None, 2, "1 CPUs and 1 GPUs; no machine"),
        (GroupSettings(num_gpus=1), "auto", 2, "none in 2 s"),
        (GroupSettings(min_workers=9), "auto", 8, r"only \d of min_workers=9 came in 8 s"),
    ],
)
def test_too_small_a_cluster_is_named(
    tmp_path: Path, group: GroupSettings, address: str | None, timeout_s: float, message: str
) -> None:
    build = TroubleBuild(tmp_path, partial(trouble_graph, pause_s=2))
    settings = ExecutionSettings(groups={"all": group}, address=address, start_timeout_s=timeout_s)
    with pytest.raises(ClusterTooSmall, match=message):
        run(build, settings)


@pytest.mark.usefixtures("cluster")
def test_a_missing_engine_ends_the_run_with_its_message(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path, partial(trouble_graph, load="unavailable"))
    with pytest.raises(EngineUnavailable, match="engine 'toy' is not there"):
        run(build, ExecutionSettings())


@pytest.mark.usefixtures("cluster")
def test_waiting_costs_the_driver_nothing(tmp_path: Path) -> None:
    build = TroubleBuild(tmp_path, partial(trouble_graph, pause_s=2.0))
    plan = build.plan([recording("one")])
    events = run_on_ray(plan, build.graph, build.store, ExecutionSettings())
    next(events)
    cpu, wall = time.process_time(), time.monotonic()
    next(events)
    wall = time.monotonic() - wall
    assert wall > 1.9
    assert (time.process_time() - cpu) / wall < 0.05
    events.close()  # type: ignore[attr-defined]


DRIVER = """
from functools import partial
from pathlib import Path
from tests.pipeline.execution.test_on_ray import *
build = TroubleBuild(Path({root!r}), partial(trouble_graph, log=Path({log!r})))
run(build, ExecutionSettings(workers=2), names=("spin1", "spin2"))
"""


OURS = ("RayWorker", "wavemill.pipeline.execution.child", "raylet/raylet", "gcs_server")
# Not listed: two helpers of Ray's own that look for their raylet only every 40 s.


def test_a_killed_driver_leaves_no_process_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = DRIVER.format(root=str(tmp_path), log=str(log))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(program(code), **quiet) as driver:  # type: ignore[call-overload]
        assert wait_until(lambda: log.exists() and "spin" in log.read_text(encoding="utf-8"), 120)
        started = psutil.Process(driver.pid).children(recursive=True)
        ours = {p.pid for p in started if any(name in " ".join(p.cmdline()) for name in OURS)}
        driver.send_signal(signal.SIGKILL)
    assert ours.intersection(pids_in(log))
    assert wait_until(lambda: all(is_gone(pid) for pid in ours))


def test_ctrl_c_ends_everything_soon(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = DRIVER.format(root=str(tmp_path), log=str(log))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(program(code), **quiet) as driver:  # type: ignore[call-overload]
        assert wait_until(lambda: log.exists() and "spin" in log.read_text(encoding="utf-8"), 120)
        driver.send_signal(signal.SIGINT)
        timer = threading.Timer(60, driver.kill)
        timer.start()
        assert driver.wait() != -signal.SIGKILL
        timer.cancel()
    assert wait_until(lambda: all(is_gone(pid) for pid in pids_in(log)))
