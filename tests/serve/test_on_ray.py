"""Services on Ray Serve: replicas die, and neither sessions nor replies are lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.serve.support import audio_of, client, say, speech, turns, until, update
from wavemill.serve.config import ServeConfig
from wavemill.serve.running import checked_port, on_ray

pytest.importorskip("grpc_reflection")  # the tests also run without ray[serve]

TOKENS = 100
SECONDS = 240  # that a new replica may take on a busy machine


@pytest.fixture(scope="module")
def turn_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("turns") / "turns.jsonl"


@pytest.fixture(scope="module")
def served(model: Path, turn_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    config = ServeConfig.model_validate(
        {
            "model": str(model),
            "port": 0,
            "answers": {"most_tokens": TOKENS},
            "store": f"sqlite:{tmp_path_factory.mktemp('store') / 'talks.db'}",
            "turn_log": str(turn_log),
        }
    )
    port = checked_port(config)
    with on_ray(config, port):
        yield port


def replica(name: str) -> psutil.Process:
    """Return the process of a service."""
    wanted = f"ServeReplica:wavemill:{name}"
    found = [p for p in psutil.Process().children(recursive=True) if wanted in _title(p)]
    assert len(found) == 1, [_title(p) for p in found]
    return found[0]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


async def answer(connection: Any, kill: str | None = None) -> tuple[Any, bytes]:
    """Ask for a reply; kill a service once its sound has begun. Return what came of it."""
    seen: list[Any] = []
    await connection.response.create()
    await until(connection, "response.output_audio.delta", seen)
    if kill is not None:
        os.kill(replica(kill).pid, signal.SIGKILL)
    async with asyncio.timeout(SECONDS):
        done = await until(connection, "response.done", seen)
    return done.response, audio_of(seen)


def test_replicas_that_are_killed_cost_time_and_nothing_else(served: int, turn_log: Path) -> None:
    async def talk() -> None:
        async with client(served).realtime.connect(model="any") as connection:
            about = await until(connection, "conversation.created")
            await update(connection, audio=turns(None))
            await say(connection, speech(1))
            await connection.input_audio_buffer.commit()
            wanted, sound = await answer(connection)
            for name in ("Llm", "Detokenizer"):
                # The same question again: the reply is the same, whoever died.
                await connection.conversation.item.delete(item_id=wanted.output[0].id)
                await until(connection, "conversation.item.deleted")
                wanted, again = await answer(connection, name)
                assert wanted.status in ("completed", "incomplete")
                # To the rounding of the vocoder, which depends on how many codes come at a time.
                first, second = (np.frombuffer(one, "<i2").astype(int) for one in (sound, again))
                assert len(first) == len(second)
                assert np.abs(first - second).max() <= 2
            os.kill(replica("Gateway").pid, signal.SIGKILL)
        # The client connects again, and the conversation goes on.
        kept = about.conversation.id
        async with asyncio.timeout(SECONDS):
            done = await _again(served, kept)
        said = wanted.usage.output_token_details.audio_tokens
        assert done.usage.input_tokens > wanted.usage.input_tokens + said

    asyncio.run(talk())
    lines = [json.loads(line) for line in turn_log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4
    assert all(line["first_audio_s"] > 0 for line in lines)


async def _again(port: int, conversation: str) -> Any:
    """Connect as soon as there is a gateway, and ask for one more reply."""
    while True:
        try:
            connecting = client(port).realtime.connect(
                model="any", extra_query={"conversation": conversation}
            )
            async with connecting as connection:
                await until(connection, "conversation.created")
                await connection.response.create()
                return (await until(connection, "response.done")).response
        except Exception as error:
            # The proxy refuses, or the connection ends, while no gateway is there.
            if isinstance(error, AssertionError) and "left before" not in str(error):
                raise
            time.sleep(0.5)
