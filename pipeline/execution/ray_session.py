"""Ray, started on this machine or connected to."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from wavemill.pipeline.execution.faults import RunStopped
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.pipeline.scratch import scratch_folder

OBJECT_STORE_BYTES = 80 << 20  # descriptors only; Ray's default would take a third of memory
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def starting_ray(address: str | None) -> str:
    """Return a line to print before `ray_session`, which takes seconds."""
    return "starting Ray" if address is None else f"connecting to Ray at {address}"


@contextmanager
def ray_session(settings: ExecutionSettings) -> Iterator[Any]:
    """Start Ray on this machine or connect to `settings.address`; shut it down afterwards.

    Files and sockets of a Ray that is started are in a folder of this run with a short name, and
    its token is in the environment, so it does not depend on TMPDIR, HOME or another Ray on this
    machine. Yields the module `ray`. Raises RunStopped if Ray cannot be started or reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it logs every connection that ends
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # newer Ray's behaviour
    if settings.address is None and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or it goes to ~/.ray
    import ray

    if ray.is_initialized():
        yield ray
        return
    with ExitStack() as stack:
        local: dict[str, Any] = {}
        if settings.address is None:
            local = {
                "num_cpus": settings.workers or os.cpu_count(),
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": str(stack.enter_context(scratch_folder())),
            }
        stack.callback(ray.shutdown)
        _init(ray, settings.address, local)
        yield ray


def _init(ray: Any, address: str | None, local: dict[str, Any]) -> None:
    with _own_signal_handlers():
        try:
            ray.init(
                address=address or "local",
                logging_level=logging.ERROR,
                log_to_driver=False,
                **local,
            )
        except Exception as error:
            what = f"there is no Ray cluster at {address}" if address else "Ray does not start here"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            remedy = "" if address else "; --executor inline works without it"
            raise RunStopped(f"{what}: {reason}{remedy}") from error


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put this process's handlers back after Ray has set its own.

    Ray's handlers print a C++ stack or end the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set handlers
        return
    kept = {number: signal.getsignal(number) for number in _SIGNALS}
    by_ray = None
    try:
        yield
    except SystemExit as error:  # Ray's handler while it starts
        by_ray = error.code
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)
    if by_ray is not None:
        signal.raise_signal(signal.SIGTERM)
