"""How soon a served model answers, with several conversations at once, and after kills.

    python -m benchmarks.serve [--model FOLDER] [--preset tiny] [--sessions 1 2 4 8] [--turns 3]
                               [--executor ray] [--tokens 50] [--idle 50] [--kills]

A model of random weights unless one is named. Each session is a client of its own: it says three
seconds of an example recording, commits, and reads the reply, a number of times. Printed for each
number of sessions: seconds from the commit to the first audio (p50, p95), real-time factor
(seconds until the last audio, for a second of speech), CPU time of all processes for a second of
speech, which depends little on what else the machine does, and late replies, whose audio would have
run out while it was played. Then the memory of an idle session, and with `--kills` what becomes of
turns while each service is killed. Figures: serve.md.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import soxr
from openai import AsyncOpenAI

from wavemill.model.blocks import prepare_transformers
from wavemill.serve.audio.formats import Format, encoded
from wavemill.serve.config import ServeConfig
from wavemill.serve.running import checked_port, in_process, on_ray

RATE = Format.PCM.rate
SPOKEN = Path(__file__).parent.parent / "examples" / "recordings" / "clean_dialogue.flac"
SECONDS = 3
GIVEN_UP = 120.0  # seconds after a kill
SERVICES = ("Tokenizer", "Llm", "Detokenizer", "Gateway")


@dataclass(frozen=True)
class Turn:
    """Seconds of one turn, after the commit."""

    first: float
    last: float
    audio: float
    late: bool  # audio that was played as it came would have run out


def question() -> str:
    sound, rate = soundfile.read(SPOKEN, dtype="float32", always_2d=True)
    said = soxr.resample(sound.mean(1), rate, RATE)[: SECONDS * RATE]
    return base64.b64encode(encoded(said, Format.PCM)).decode()


def connect(port: int, conversation: str | None = None) -> Any:
    address = f"127.0.0.1:{port}/v1"
    client = AsyncOpenAI(
        api_key="none", base_url=f"http://{address}", websocket_base_url=f"ws://{address}"
    )
    query = {} if conversation is None else {"conversation": conversation}
    return client.realtime.connect(model="any", extra_query=query)


async def until(connection: Any, kind: str) -> Any:
    async for event in connection:
        if event.type == "error":
            raise RuntimeError(event.error.message)
        if event.type == kind:
            return event
    raise ConnectionError("the server has left")


async def begun(connection: Any) -> str:
    """Wait for the start of a session whose turns the client ends; return the conversation's id."""
    about = await until(connection, "conversation.created")
    session: Any = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    await connection.session.update(session=session)
    await until(connection, "session.updated")
    return str(about.conversation.id)


async def turn(connection: Any, said: str) -> Turn:
    await connection.input_audio_buffer.append(audio=said)
    await connection.input_audio_buffer.commit()
    await connection.response.create()
    committed, first, last, audio, late = time.monotonic(), 0.0, 0.0, 0.0, False
    async for event in connection:
        now = time.monotonic() - committed
        if event.type == "response.output_audio.delta":
            first, last = first or now, now
            late = late or (now > first + audio and audio > 0)
            audio += len(base64.b64decode(event.delta)) / Format.PCM.width / RATE
        elif event.type == "error":
            raise RuntimeError(event.error.message)
        elif event.type == "response.done":
            if event.response.status == "failed":
                raise RuntimeError(event.response.status_details.error.message)
            return Turn(first, last, audio, late)
    raise ConnectionError("the server has left")


async def session(port: int, turns: int, said: str) -> list[Turn]:
    async with connect(port) as connection:
        await begun(connection)
        return [await turn(connection, said) for _ in range(turns)]


async def load(port: int, sessions: int, turns: int, said: str) -> None:
    before = cpu_seconds()
    found = await asyncio.gather(*(session(port, turns, said) for _ in range(sessions)))
    cpu = (cpu_seconds() - before) / sum(one.audio for some in found for one in some)
    all_turns = [one for some in found for one in some if one.audio]
    first = [one.first for one in all_turns]
    factor = [one.last / one.audio for one in all_turns]
    late = sum(one.late for one in all_turns)
    print(
        f"{sessions:8} {np.percentile(first, 50):10.2f} {np.percentile(first, 95):10.2f} "
        f"{np.median(factor):10.2f} {cpu:10.2f} {late:6} of {len(all_turns)}",
        flush=True,
    )


def cpu_seconds() -> float:
    """Return the CPU time of this process and all that it has started."""
    own, total = psutil.Process(), 0.0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory() -> int:
    """Return the bytes that this process and all that it has started use."""
    own = psutil.Process()
    return sum(p.memory_full_info().uss for p in (own, *own.children(recursive=True)))


async def idle(port: int, sessions: int) -> None:
    """Print the memory of sessions that are open and silent, client and server together."""
    before, held = memory(), []
    for _ in range(sessions):
        held.append(await connect(port).enter())
        await begun(held[-1])
    after = memory()
    for connection in held:
        await connection.close()
    print(f"memory of an idle session and its client: {(after - before) / sessions / 1e6:.2f} MB")


def pid_of(service: str) -> int:
    for process in psutil.Process().children(recursive=True):
        try:
            if f"ServeReplica:wavemill:{service}" in " ".join(process.cmdline()):
                return process.pid
        except psutil.Error:
            continue
    raise RuntimeError(f"{service} does not run")


async def killed(port: int, service: str, said: str) -> None:
    """Kill a service in the middle of a turn; print what becomes of the turn and the session."""
    async with connect(port) as connection:
        conversation = await begun(connection)
        await turn(connection, said)
        going = asyncio.ensure_future(turn(connection, said))
        await asyncio.sleep(0.3)
        os.kill(pid_of(service), signal.SIGKILL)
        at, lost = time.monotonic(), False
        try:
            await going
        except Exception:
            lost = True
    kept = not lost
    while not kept and time.monotonic() < at + GIVEN_UP:
        try:
            async with connect(port, conversation) as connection:
                await begun(connection)
                await turn(connection, said)
            kept = True
        except Exception:  # there is no gateway yet, or it does not know the conversation
            await asyncio.sleep(0.5)
    print(
        f"{service:12} turns lost {int(lost)}, sessions lost {int(not kept)}, "
        f"next answer after {time.monotonic() - at:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--executor", choices=("ray", "inline"), default="ray")
    parser.add_argument("--idle", type=int, default=50)
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    prepare_transformers()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model
        if model is None:
            from wavemill.model.creation import create

            model = f"{folder}/model"
            create(Path(model), given.preset)
        config = ServeConfig.model_validate(
            {
                "model": model,
                "port": 0,
                "device": given.device,
                "answers": {"most_tokens": given.tokens},
                "store": f"sqlite:{folder}/talks.db",
                "turn_log": f"{folder}/turns.jsonl",
            }
        )
        port, said = checked_port(config), question()
        served = in_process if given.executor == "inline" else on_ray
        with served(config, port):
            asyncio.run(session(port, 1, said))  # the first turn loads what is loaded late
            titles = ("p50 s", "p95 s", "real time", "CPU")
            print("sessions", *(f"{title:>10}" for title in titles), "  late")
            for sessions in given.sessions:
                asyncio.run(load(port, sessions, given.turns, said))
            if given.idle:
                asyncio.run(idle(port, given.idle))
            if given.kills:
                for service in SERVICES:
                    asyncio.run(killed(port, service, said))


if __name__ == "__main__":
    main()
