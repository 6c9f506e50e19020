"""A client's view of a server: the package `openai`, unmodified, and the sound of speech."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile
import soxr
from openai import AsyncOpenAI

from tests.support import ROOT
from wavemill.serve.audio.formats import Format, Samples, encoded

RATE = Format.PCM.rate
CHUNK = RATE // 10


def speech(seconds: float = 2.5, rate: int = RATE) -> Samples:
    """Return the start of a recorded dialogue, float32 (samples,)."""
    file = ROOT / "examples" / "recordings" / "clean_dialogue.flac"
    sound, own = soundfile.read(file, dtype="float32", always_2d=True)
    return soxr.resample(sound.mean(1), own, rate)[: round(seconds * rate)]


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def client(port: int, key: str = "none") -> AsyncOpenAI:
    return AsyncOpenAI(
        api_key=key,
        base_url=f"http://127.0.0.1:{port}/v1",
        websocket_base_url=f"ws://127.0.0.1:{port}/v1",
        max_retries=0,
    )


async def say(connection: Any, sound: Samples, form: Format = Format.PCM) -> None:
    """Send audio as a microphone would, only faster."""
    for start in range(0, len(sound), CHUNK):
        content = encoded(sound[start : start + CHUNK], form)
        await connection.input_audio_buffer.append(audio=base64.b64encode(content).decode())


async def until(connection: Any, kind: str, seen: list[Any] | None = None) -> Any:
    """Return the next event of a kind; put all that came before it into `seen`."""
    async for event in connection:
        if seen is not None:
            seen.append(event)
        if event.type == kind:
            return event
        assert event.type != "error", event
    raise AssertionError(f"the server left before {kind}")


def audio_of(events: list[Any]) -> bytes:
    deltas = [e.delta for e in events if e.type == "response.output_audio.delta"]
    return b"".join(map(base64.b64decode, deltas))


Change = Callable[..., Any]


async def update(connection: Any, **fields: Any) -> Any:
    """Change the session; return what it is then."""
    await connection.session.update(session={"type": "realtime", **fields})
    return (await until(connection, "session.updated")).session


def turns(detection: dict[str, Any] | None) -> dict[str, Any]:
    return {"input": {"turn_detection": detection}}
