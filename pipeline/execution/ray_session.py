"""Ray, started on this machine or connected to."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.execution.settings import ExecutionSettings

OBJECT_STORE_BYTES = 80 << 20  # descriptors only; Ray's default would take a third of memory


def starting_ray(address: str | None) -> str:
    """Return what to tell a person, who is to wait for seconds, before `ray_session`."""
    return "starting Ray" if address is None else f"connecting to Ray at {address}"


@contextmanager
def ray_session(settings: ExecutionSettings) -> Iterator[Any]:
    """Start Ray on this machine (or connect to `address`), and shut down what was started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # newer Ray's behaviour
    import ray

    if ray.is_initialized():
        yield ray
        return
    local: dict[str, Any] = {
        "num_cpus": settings.workers or os.cpu_count(),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    ray.init(
        address=settings.address or "local",
        logging_level=logging.ERROR,
        log_to_driver=False,
        **({} if settings.address else local),
    )
    try:
        yield ray
    finally:
        ray.shutdown()
