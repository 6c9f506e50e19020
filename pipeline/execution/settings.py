"""How a build runs. Nothing here changes what is built, so nothing here is fingerprinted."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GroupSettings(BaseModel):
    """Stages that run one after another in the same worker, and what such a worker needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stages: tuple[str, ...] = ()  # empty: all stages that no other group names
    num_cpus: float = Field(1.0, gt=0)
    num_gpus: float = Field(0.0, ge=0)
    workers: int | None = Field(None, ge=1)  # None: as many as the cluster has room for


class ExecutionSettings(BaseModel):
    """Executor, workers and their groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    executor: Literal["ray", "inline"] = "ray"
    workers: int | None = Field(None, ge=1)  # None: one per core
    address: str | None = None  # of a Ray cluster; None: start one on this machine
    groups: dict[str, GroupSettings] = {"all": GroupSettings()}
    attempts: int = Field(2, ge=1)  # a shard whose worker dies is tried so often


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
