"""How a build runs. Nothing here changes the outputs, so no fingerprint depends on it.

A cluster of machines with 8 GPUs and 64 cores each, one worker of the models per GPU:

    execution:
      address: auto
      start_timeout_s: 900            # a cluster that grows by itself may need minutes
      groups:
        denoise: {stages: [denoise], num_cpus: 2, num_gpus: 0.5, max_workers: 64}
        models:
          stages: [diarize, transcribe]
          num_cpus: 2
          num_gpus: 0.5
          min_workers: 8
          recording_timeout_s: 1200   # per recording, whatever its length; and per second of it:
          timeout_per_audio_s: 10
          worker_memory_gb: 48
        rest: {num_cpus: 1, max_workers: 256}
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wavemill.pipeline.execution.limits import Limits


class GroupSettings(BaseModel):
    """Stages that run one after another in the same worker, and the resources of such a worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stages: tuple[str, ...] = ()  # empty: all stages that no other group names
    num_cpus: float = Field(1.0, gt=0)
    num_gpus: float = Field(0.0, ge=0)
    min_workers: int = Field(0, ge=0)  # a run that cannot have them in start_timeout_s fails
    max_workers: int | None = Field(None, ge=1)  # None: as many as the cluster has room for
    recording_timeout_s: float | None = Field(None, gt=0)  # None, here and below: as `execution`
    timeout_per_audio_s: float | None = Field(None, ge=0)
    load_timeout_s: float | None = Field(None, gt=0)
    worker_memory_gb: float | None = Field(None, gt=0)


class ExecutionSettings(BaseModel):
    """Executor, workers and their groups, and the limits of a worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    executor: Literal["ray", "inline"] = "ray"
    workers: int | None = Field(None, ge=1)  # at most, per group; None: one per core
    address: str | None = None  # of a Ray cluster; None: start one on this machine
    inline_below_s: float = Field(10.0, ge=0)  # no workers for work that took no more CPU before
    groups: dict[str, GroupSettings] = {"all": GroupSettings()}
    piece_seconds: float = Field(120.0, gt=0)  # of what workers share out of a longer recording

    recording_timeout_s: float = Field(300.0, gt=0)  # a recording may take this long in a stage,
    timeout_per_audio_s: float = Field(30.0, ge=0)  # or this long per second of it, if that is more
    load_timeout_s: float = Field(1800.0, gt=0)  # loading an engine; a first download may be slow
    worker_memory_gb: float | None = Field(None, gt=0)  # None: its share of 0.8 of the machine's

    attempts: int = Field(3, ge=1)  # deaths of a worker until a recording counts as their cause
    task_attempts: int = Field(5, ge=1)  # of a stage on a shard, if no recording is the cause
    shard_attempts: int = Field(5, ge=1)  # workers that a shard may lose with their machines
    start_timeout_s: float = Field(300.0, gt=0)  # without any worker where there is work


def limits_of(settings: ExecutionSettings, group: GroupSettings) -> Limits:
    """Return the limits of the workers of a group: its own, and otherwise the general ones."""

    def chosen(name: str) -> float:
        own = getattr(group, name)
        return float(getattr(settings, name) if own is None else own)

    memory = group.worker_memory_gb or settings.worker_memory_gb
    return Limits(
        recording_timeout_s=chosen("recording_timeout_s"),
        timeout_per_audio_s=chosen("timeout_per_audio_s"),
        load_timeout_s=chosen("load_timeout_s"),
        memory_bytes=None if memory is None else int(memory * 1e9),
        attempts=settings.attempts,
        task_attempts=settings.task_attempts,
    )


def resolve_groups(settings: ExecutionSettings, stages: list[str]) -> dict[str, list[str]]:
    """Return group -> its stages in build order.

    Raises ValueError when a stage is in two groups, in none, or unknown, or when a group's
    stages do not follow one another (a shard visits each group once).
    """
    named = [stage for group in settings.groups.values() for stage in group.stages]
    for stage in named:
        if stage not in stages:
            raise ValueError(f"execution.groups names {stage!r}; stages are {', '.join(stages)}")
        if named.count(stage) > 1:
            raise ValueError(f"execution.groups has {stage!r} in two groups")
    rest = [stage for stage in stages if stage not in named]
    owners = [name for name, group in settings.groups.items() if not group.stages]
    if rest and len(owners) != 1:
        raise ValueError(
            f"execution.groups must have exactly one group without `stages`, for {', '.join(rest)}"
        )
    return {
        name: [stage for stage in stages if stage in (group.stages or rest)]
        for name, group in settings.groups.items()
    }
