"""Running a training in this process or on Ray."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.execution.ray_session import ray_session, starting_ray
from wavemill.pipeline.execution.settings import ExecutionSettings

if TYPE_CHECKING:
    from wavemill.model.train.loop import Job, Outcome
    from wavemill.model.train.recipe import LoopSettings

T = TypeVar("T")


@dataclass(frozen=True)
class Launch:
    """Where a training runs."""

    workers: int = 1
    gpu: bool | None = None  # None: if there is one
    executor: str | None = None  # inline or ray; None: see `inline`
    address: str | None = None  # of a Ray cluster

    def inline(self, loop: LoopSettings) -> bool:
        """Whether the training runs in this process: by default, if it has one worker here."""
        if self.executor is None:
            return self.workers == 1 and self.address is None and not loop.shard
        return self.executor == "inline"


def check_launch(job: Job, launch: Launch) -> None:
    """Raise ConfigError for a launch that contradicts itself or the recipe."""
    if launch.executor not in (None, "ray", "inline"):
        raise ConfigError(f"--executor: {launch.executor!r} is neither ray nor inline")
    if launch.executor == "inline" and (launch.workers > 1 or launch.address):
        raise ConfigError("--executor inline: one worker in this process; leave out the others")
    if job.loop.micro_batches % launch.workers:
        raise ConfigError(
            f"--workers: {job.loop.micro_batches} micro-batches of a step cannot be shared by "
            f"{launch.workers} workers; remedy: --set loop.micro_batches=N with a multiple"
        )
    if job.loop.shard and launch.executor == "inline":
        raise ConfigError("--executor inline: a sharded training needs Ray; or loop.shard=false")


def launch_training(
    job: Job, launch: Launch, note: Callable[[str], None], ready: Callable[[], None]
) -> Outcome:
    """Train and return the outcome. `ready` is called when Ray is there, before any work.

    `note` is told what takes time. Raises ConfigError where GPUs or CPUs are lacking, RunStopped
    where Ray cannot be had, and what the training raises.
    """
    return _inline(job, launch) if launch.inline(job.loop) else _on_ray(job, launch, note, ready)


def _inline(job: Job, launch: Launch) -> Outcome:
    import torch

    from wavemill.model.train.loop import work
    from wavemill.model.train.ranks import Ranks

    there = torch.cuda.is_available()
    if launch.gpu and not there:
        raise ConfigError("--gpu: there is no GPU here that torch can use; remedy: --cpu")
    gpu = there if launch.gpu is None else launch.gpu
    return work(job, Ranks(device=torch.device("cuda" if gpu else "cpu")))


def _on_ray(
    job: Job, launch: Launch, note: Callable[[str], None], ready: Callable[[], None]
) -> Outcome:
    from wavemill.model.train.on_ray import Workers, run_on_ray

    # On this machine, Ray counts as many CPUs as there are workers, so that all of them start.
    settings = ExecutionSettings(address=launch.address, workers=launch.workers)
    if launch.address is None:  # a process less: nobody takes this machine away with a warning
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    note(starting_ray(launch.address))
    with ray_session(settings) as ray:
        ready()
        there = ray.cluster_resources()
        gpu = there.get("GPU", 0) >= launch.workers if launch.gpu is None else launch.gpu
        wanted = {"GPU": launch.workers} if gpu else {"CPU": launch.workers}
        for name, count in wanted.items():
            if there.get(name, 0) < count and launch.address is None:
                raise ConfigError(
                    f"--workers: {count} need {count} {name}s, here are {there.get(name, 0):g}"
                )
        # On a cluster, machines go away; here, a worker's death has a cause to be looked at.
        restarts = Workers().restarts if launch.address is not None else 0
        workers = Workers(count=launch.workers, gpu=gpu, restarts=restarts)
        return in_a_thread(lambda: run_on_ray(job, workers))


def in_a_thread(function: Callable[[], T]) -> T:
    """Return `function()`, called in another thread while this one handles signals.

    For libraries that install their own handlers whenever they run in the main thread.
    """
    result: Future[T] = Future()

    def call() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # whatever it is, the waiting thread raises it
            result.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return result.result()
