"""Events that an executor yields while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from wavemill.pipeline.task import TaskResult


@dataclass(frozen=True)
class TaskStarted:
    stage: str
    shard_id: str


@dataclass(frozen=True)
class Progress:
    """So much more of the audio of a stage on a shard is done; TaskDone counts for the rest."""

    stage: str
    shard_id: str
    audio_ms: int


@dataclass(frozen=True)
class TaskDone:
    result: TaskResult


@dataclass(frozen=True)
class ShardDone:
    shard_id: str


@dataclass(frozen=True)
class ShardFailed:
    """A shard was given up; the next run tries it again. All other shards go on."""

    shard_id: str
    stage: str
    message: str


Event = TaskStarted | Progress | TaskDone | ShardDone | ShardFailed
