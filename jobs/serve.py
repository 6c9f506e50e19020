"""wavemill serve MODEL: talk with a model, by the protocols that clients speak."""

from __future__ import annotations

import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wavemill.jobs import options, places
from wavemill.jobs.entry import Stopped, run_command
from wavemill.jobs.extras import need_model_packages, need_packages
from wavemill.jobs.plain import Terminal, printable

if TYPE_CHECKING:
    from wavemill.serve.config import ServeConfig

SERVE_PACKAGES = ("fastapi", "openai", "websockets", "prometheus_client")
RAY_PACKAGES = ("grpc_reflection", "mmh3", "watchfiles")  # what ray[serve] brings
Executor = Literal["ray", "inline"]


def serve(
    source: options.Model,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            parser=places.path,
            metavar="FILE",
            help="YAML file with fields of docs/serve.md: replicas and GPUs of each service, turn "
            "detection, limits, voices.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on (127.0.0.1). Any other than loopback needs --keys."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port (8430); 0 takes a free one.", min=0, max=65535)
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="Bearer keys, one a line; or the variable WAVEMILL_SERVE_KEYS.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Where conversations are kept: memory (the default), sqlite:FILE, or "
            "redis://HOST:PORT/0. Only memory writes nothing to a disk.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu (the default), cuda, cuda:1 ... of every service.")
    ] = None,
    semantic: options.Semantic = None,
    detokenizer: options.Detokenizer = None,
    executor: Annotated[
        Executor,
        typer.Option(help="ray: services with replicas of their own; inline: all in one process."),
    ] = "ray",
    address: options.Address = None,
    check: Annotated[
        bool, typer.Option("--check", help="Do one spoken turn, print its times, and leave.")
    ] = False,
    say: Annotated[
        Path | None,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="With --check, the recording that is said; otherwise it is noise.",
        ),
    ] = None,
) -> None:
    """Talk with a model in real time, with the clients that people already have.

    Clients of OpenAI find three interfaces at http://HOST:PORT/v1: realtime (a WebSocket: audio
    goes in, the server hears when you have finished, speech comes back while it is made, and you
    can interrupt it), chat/completions with audio in and out, and audio/speech with
    audio/transcriptions. /metrics has figures for Prometheus. Stop it with Ctrl-C.

    Examples:

    wavemill serve model/

    wavemill serve model/ --check --say question.wav

    wavemill serve model/ --host 0.0.0.0 --keys keys.txt --store sqlite:talks.db --device cuda
    """
    need_model_packages()
    need_packages(SERVE_PACKAGES, "serve")
    if executor == "ray":
        need_packages(RAY_PACKAGES, "serve")
    from wavemill.pipeline.config import ConfigError
    from wavemill.serve.config import read_config

    if say is not None and not check:
        raise ConfigError("--say is what --check says; give both")
    given = {
        "model": source,
        "host": host,
        "port": port,
        "keys_file": None if keys is None else str(keys),
        "store": store,
        "device": device,
        "semantic": semantic,
        "detokenizer": detokenizer,
    }
    settings = read_config(config, given)
    if settings.device.startswith("cuda"):
        import torch

        if executor == "inline" and not torch.cuda.is_available():
            raise ConfigError(f"--device: there is no {settings.device!r} here")
    _run(settings, executor, address, check, say)


def _run(
    settings: ServeConfig, executor: Executor, address: str | None, check: bool, say: Path | None
) -> None:
    from wavemill.serve.gateway.access import read_keys
    from wavemill.serve.running import checked_port, in_process, on_ray

    console, keys, port = Terminal(), read_keys(settings), checked_port(settings)
    began = time.monotonic()
    served: AbstractContextManager[None] = (
        in_process(settings, port) if executor == "inline" else on_ray(settings, port, address)
    )
    console.print(f"starting the services ({executor})")
    try:
        with served:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            place = f"{host}:{port}"
            console.print(f"ready after {time.monotonic() - began:.1f} s: http://{place}/v1")
            if check:
                _check(console, place, keys, say)
                return
            console.print("(Ctrl-C ends it)")
            while True:
                signal.pause()
    except Stopped:
        console.print("stopped")


def _check(console: Terminal, place: str, keys: tuple[str, ...], say: Path | None) -> None:
    """Do one spoken turn, and print its times."""
    from wavemill.pipeline.library.sound import sound_of
    from wavemill.serve.audio.formats import Format
    from wavemill.serve.check import lines_of, noise, one_turn

    said = noise() if say is None else sound_of(say, Format.PCM.rate)
    key = keys[0] if keys else None
    turn = one_turn(f"ws://{place}/v1/realtime", key, said)
    for line in lines_of(turn):
        console.print(line)
    console.print(f"text              {printable(turn.text)!r}", soft_wrap=True)
    if turn.status == "failed":
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(serve)
