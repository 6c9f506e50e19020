"""A server from its start to its end: on Ray Serve, or in this process."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.execution.ray_session import ray_session
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.serve.config import ServeConfig

LEAST_CPUS = 4  # that Ray is told of: the services reserve parts of one
# A message of a WebSocket is refused beyond this by the proxy, before the gateway sees it.
LARGEST_MESSAGE = 16 << 20


def checked_port(config: ServeConfig) -> int:
    """Return the port, a free one in place of 0. Raises ConfigError where it cannot be used."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((config.host, config.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(f"port {config.port} is taken; remedy: --port") from None
            reason = error.strerror or str(error)
            raise ConfigError(f"cannot listen on {config.host}: {reason}") from None
        return int(trial.getsockname()[1])


# Ray Serve gives its proxy 5 s to start before it kills it, which a busy machine does not keep.
RAY_SERVE = {
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
}


@contextmanager
def on_ray(config: ServeConfig, port: int, address: str | None = None) -> Iterator[None]:
    """Serve on Ray, of this machine or at an address, within the block.

    Raises ConfigError and RunStopped.
    """
    for name, value in RAY_SERVE.items():
        os.environ.setdefault(name, value)
    cpus = max(LEAST_CPUS, os.cpu_count() or 1)
    settings = ExecutionSettings(address=address, workers=cpus)
    with ray_session(settings):
        from ray import serve

        from wavemill.serve.application import NAME, application

        wanted = application(config)
        serve.start(
            http_options={"host": config.host, "port": port},
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        try:
            try:
                serve.run(wanted, name=NAME)
            except RuntimeError as error:
                raise ConfigError(f"the services did not start: {_line(error)}") from None
            yield
        finally:
            stop: Any = serve.shutdown
            stop()


@contextmanager
def in_process(config: ServeConfig, port: int) -> Iterator[None]:
    """Serve in this process, in a thread, within the block. Raises ConfigError and WeightsError."""
    import uvicorn

    from wavemill.serve.inline import inline_gateway

    gateway = inline_gateway(config)
    server = uvicorn.Server(
        uvicorn.Config(
            gateway.asgi,
            host=config.host,
            port=port,
            log_level="warning",
            ws_max_size=LARGEST_MESSAGE,
            timeout_graceful_shutdown=5,
        )
    )
    thread = threading.Thread(target=server.run, name="gateway", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise ConfigError(f"the gateway did not start on {config.host} port {port}")
        time.sleep(0.05)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
