"""What an executor tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from wavemill.pipeline.task import TaskReport


@dataclass(frozen=True)
class TaskStarted:
    stage: str
    shard_id: str


@dataclass(frozen=True)
class TaskDone:
    report: TaskReport


@dataclass(frozen=True)
class ShardDone:
    shard_id: str


@dataclass(frozen=True)
class ShardFailed:
    """A shard was given up; the next run tries it again. Everything else goes on."""

    shard_id: str
    stage: str
    message: str


Event = TaskStarted | TaskDone | ShardDone | ShardFailed
