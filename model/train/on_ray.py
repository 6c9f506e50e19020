"""A training on Ray Train: the same on a laptop and on a cluster."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavemill.model.data.source import DataError
from wavemill.model.io.folders import WeightsError
from wavemill.model.train.checkpoint import RunChanged
from wavemill.model.train.loop import Job, Outcome, outcome_of, work
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.step import NotFinite

FAILURE = "failure.json"  # why a worker failed, if a restart would not help
FOLDER = "ray"  # of a run: Ray Train's own files
FINAL = {kind.__name__: kind for kind in (DataError, WeightsError, NotFinite, RunChanged)}


class TrainingFailed(Exception):
    """Workers died more often than they may be restarted: has the last error."""


@dataclass(frozen=True)
class Workers:
    """How many, and what each gets."""

    count: int = 1
    gpu: bool = False
    cpus: float = 1.0  # reserved for each
    restarts: int = 3  # after a worker or its node has died: from the last checkpoint


def run_on_ray(job: Job, workers: Workers) -> Outcome:
    """Train on Ray and wait for the end; `ray.init` must have been called.

    Raises DataError, WeightsError, RunChanged, NotFinite, and TrainingFailed.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    job.run.mkdir(parents=True, exist_ok=True)
    (job.run / FAILURE).unlink(missing_ok=True)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if workers.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers.count,
            use_gpu=workers.gpu,
            resources_per_worker={"CPU": workers.cpus, **({"GPU": 1} if workers.gpu else {})},
        ),
        run_config=RunConfig(
            name=FOLDER,
            storage_path=str(job.run.absolute()),
            failure_config=FailureConfig(max_failures=workers.restarts),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # the package wraps whatever happened in kinds of its own
        raise _failure(job.run) or TrainingFailed(_last_line(error)) from error
    return outcome_of(job.run)


def _worker(config: dict[str, Any]) -> None:
    import ray.train
    import ray.train.torch

    job: Job = config["job"]
    if (failure := _failure(job.run)) is not None:
        raise failure
    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    try:
        work(job, ranks)
    except tuple(FINAL.values()) as error:
        partial = job.run / f".{FAILURE}.{ranks.rank}"
        partial.write_text(
            json.dumps({"kind": type(error).__name__, "message": str(error)}), encoding="utf-8"
        )
        partial.replace(job.run / FAILURE)
        raise


def _failure(run: Path) -> Exception | None:
    try:
        failure = json.loads((run / FAILURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return FINAL[failure["kind"]](failure["message"])


def _last_line(error: Exception) -> str:
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
