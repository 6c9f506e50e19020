"""One spoken turn over the wire, as a client takes it, with its times."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavemill.pipeline.config import ConfigError
from wavemill.serve.audio.formats import Format, Samples, encoded

CHUNK = Format.PCM.rate // 10  # samples of an event: 100 ms
SECONDS = 300.0  # that the turn may take
NOISE_SECONDS, NOISE_LEVEL = 3, 0.05  # of what is said where there is no recording


@dataclass(frozen=True)
class Turn:
    """The times of one turn, in seconds after the commit."""

    first_text: float | None
    first_audio: float | None
    done: float
    audio_seconds: float
    text: str
    status: str
    usage: dict[str, Any]

    @property
    def real_time_factor(self) -> float | None:
        """Seconds that a second of audio took from the first audio on, at most."""
        return self.done / self.audio_seconds if self.audio_seconds else None


def noise() -> Samples:
    """Return what can be said where there is no recording: noise, float32 (samples,), 24 kHz."""
    drawn = np.random.default_rng(0).standard_normal(NOISE_SECONDS * Format.PCM.rate)
    return (drawn * NOISE_LEVEL).astype(np.float32)


def one_turn(address: str, key: str | None, said: Samples, spoken: bool = True) -> Turn:
    """Say something, float32 (samples,) at 24 kHz, to a server; return how it went.

    `address` is that of `/v1/realtime`. Raises ConfigError where the server does not answer.
    """
    try:
        return asyncio.run(asyncio.wait_for(_turn(address, key, said, spoken), SECONDS))
    except TimeoutError:
        raise ConfigError(f"the server did not finish a turn within {SECONDS:g} s") from None
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"the turn failed: {error}") from None


async def _turn(address: str, key: str | None, said: Samples, spoken: bool) -> Turn:
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    audio: dict[str, Any] = {"input": {"turn_detection": None}}
    session = {"type": "realtime", "audio": audio, "output_modalities": ["text"]}
    if spoken:
        session["output_modalities"] = ["audio"]
    events: list[dict[str, Any]] = [{"type": "session.update", "session": session}]
    for start in range(0, len(said), CHUNK):
        content = encoded(said[start : start + CHUNK], Format.PCM)
        events.append(
            {"type": "input_audio_buffer.append", "audio": base64.b64encode(content).decode()}
        )
    try:
        async with connect(address, additional_headers=headers, max_size=None) as socket:
            for event in (*events, {"type": "input_audio_buffer.commit"}):
                await socket.send(json.dumps(event))
            await socket.send(json.dumps({"type": "response.create"}))
            return await _followed(socket, time.monotonic())
    except WebSocketException as error:
        raise RuntimeError(str(error)) from None


async def _followed(socket: Any, committed: float) -> Turn:
    first: dict[str, float] = {}
    samples, texts = 0, []
    while True:
        event = json.loads(await socket.recv())
        kind, now = event["type"], time.monotonic() - committed
        if kind == "error":
            raise RuntimeError(event["error"]["message"])
        if kind == "response.output_audio.delta":
            first.setdefault("audio", now)
            samples += len(base64.b64decode(event["delta"])) // Format.PCM.width
        elif kind in ("response.output_audio_transcript.delta", "response.output_text.delta"):
            first.setdefault("text", now)
            texts.append(event["delta"])
        elif kind == "response.done":
            response = event["response"]
            return Turn(
                first.get("text"),
                first.get("audio"),
                now,
                samples / Format.PCM.rate,
                "".join(texts),
                response["status"],
                response["usage"],
            )


def lines_of(turn: Turn) -> Sequence[str]:
    """Return the times as lines for a person."""

    def shown(value: float | None) -> str:
        return "none" if value is None else f"{value:.2f} s"

    usage = turn.usage
    factor = "none" if turn.real_time_factor is None else f"{turn.real_time_factor:.2f}"
    return (
        f"status            {turn.status}",
        f"first text        {shown(turn.first_text)} after the commit",
        f"first audio       {shown(turn.first_audio)}",
        f"whole reply       {shown(turn.done)} for {turn.audio_seconds:.2f} s of speech",
        f"real-time factor  {factor} (below 1: faster than it is played)",
        f"tokens            {usage['input_tokens']} read, {usage['output_tokens']} made",
    )
