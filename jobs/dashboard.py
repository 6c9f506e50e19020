"""wavemill dashboard WORKDIR: the quality page with live figures, in the browser."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Annotated

import typer

from wavemill.jobs.entry import Stopped, run_command
from wavemill.jobs.plain import Terminal
from wavemill.jobs.report import Workdir

if TYPE_CHECKING:
    from wavemill.pipeline.quality.live import Live
    from wavemill.pipeline.quality.server import Server

LOCAL = ("127.0.0.1", "localhost", "::1")


def dashboard(
    workdir: Workdir,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8420,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Anyone who reaches it can read and listen.")
    ] = "127.0.0.1",
) -> None:
    """Serve the quality page with live figures: all segments, with search, filters and audio.

    It only reads the WORKDIR, follows new snapshots and shows a running build. Stop it with Ctrl-C.

    Example: wavemill dashboard work, then open http://127.0.0.1:8420 in a browser
    """
    from wavemill.pipeline.quality.live import Live
    from wavemill.pipeline.store import Store
    from wavemill.pipeline.version import version

    console = Terminal()
    live = Live(Store.open(workdir), version())
    try:
        with _listening(live, host, port) as server:
            name = f"[{host}]" if ":" in host else host
            address = f"http://{name}:{server.server_address[1]}"
            console.print(
                f"{live.store.root} is shown at {address} (Ctrl-C ends it)", soft_wrap=True
            )
            if host not in LOCAL:
                console.print("note: anyone who reaches this address can read and listen")
            server.serve_forever()
    except Stopped:
        console.print("stopped")
    finally:
        live.close()


def _listening(live: Live, host: str, port: int) -> Server:
    """Return a server that listens; raises ConfigError if the address cannot be used."""
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.quality.server import Server

    try:
        return Server(live, host, port)
    except OverflowError as error:
        raise ConfigError(f"{port} is not a port; 0 to 65535 are") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is taken; choose another with --port") from error
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror}") from error


if __name__ == "__main__":
    run_command(dashboard)
