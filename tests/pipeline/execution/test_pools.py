"""How machines are divided among pools."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wavemill.pipeline.execution.pools import Node, Pool, WorkerHandle, set_targets
from wavemill.pipeline.execution.settings import ExecutionSettings, GroupSettings, limits_of


def pool(name: str, most: int = 1000, **group: float) -> Pool:
    return Pool(name, (name,), GroupSettings(**group), most)  # type: ignore[arg-type]


def test_a_cluster_of_8_gpu_machines_is_used_whole() -> None:
    models, rest = pool("models", num_cpus=2, num_gpus=0.5), pool("rest")
    assert set_targets([models, rest], [Node(64, 8)] * 4)
    assert (models.target, rest.target) == (64, 128)


def test_workers_without_gpus_leave_the_gpu_machines_to_others() -> None:
    models, rest = pool("models", num_cpus=4, num_gpus=1), pool("rest", most=8)
    assert set_targets([rest, models], [Node(8, 2), Node(8, 0)])
    assert (models.target, rest.target) == (2, 8)


def test_a_worker_stands_on_one_machine() -> None:
    big = pool("big", num_cpus=2)
    assert set_targets([big], [Node(3, 0), Node(3, 0)])
    assert big.target == 2


def test_what_must_be_is_asked_for_without_room() -> None:
    models = pool("models", num_gpus=1, min_workers=3)
    set_targets([models], [Node(8, 1)])
    assert models.target == 3


def test_without_room_for_all_the_one_at_work_goes_on() -> None:
    first, second = pool("first"), pool("second")
    second.busy.append(WorkerHandle(None, second))
    first.queue.append(None)  # type: ignore[arg-type]
    assert not set_targets([first, second], [Node(1, 0)])
    assert (first.target, second.target) == (0, 1)
    second.busy.clear()
    set_targets([first, second], [Node(1, 0)])
    assert (first.target, second.target) == (1, 0)


groups = st.builds(
    GroupSettings,
    num_cpus=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    num_gpus=st.sampled_from([0.0, 0.5, 1.0]),
)


@given(
    st.lists(st.tuples(groups, st.integers(1, 20)), min_size=1, max_size=4),
    st.lists(st.builds(Node, st.integers(0, 8).map(float), st.integers(0, 2).map(float))),
)
def test_targets_fit_the_cluster(
    wanted: list[tuple[GroupSettings, int]], nodes: list[Node]
) -> None:
    pools = [Pool(str(i), (str(i),), group, most) for i, (group, most) in enumerate(wanted)]
    fair = set_targets(pools, nodes)
    assert all(p.target <= p.max_workers for p in pools)
    assert sum(p.target * p.group.num_cpus for p in pools) <= sum(n.cpus for n in nodes)
    assert sum(p.target * p.group.num_gpus for p in pools) <= sum(n.gpus for n in nodes)
    if fair:
        assert all(p.target for p in pools)


def test_a_group_overrides_limits() -> None:
    settings = ExecutionSettings(recording_timeout_s=10, worker_memory_gb=3)
    limits = limits_of(settings, GroupSettings(timeout_per_audio_s=2))
    assert limits.recording_s(1000) == 10
    assert limits.recording_s(60_000) == 120
    assert limits.memory_bytes == 3_000_000_000
    assert limits_of(settings, GroupSettings(worker_memory_gb=9)).memory_bytes == 9_000_000_000
