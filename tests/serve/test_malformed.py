"""Events that no client should send: drawn at random, from a seed."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from wavemill.serve.realtime.events import CLIENT_EVENTS, EventRefused, read_event

SENT = 400
READ = 3000


def anything(random: random.Random, depth: int = 0) -> Any:
    """Return a value of JSON."""
    kinds = [
        lambda: None,
        lambda: random.choice([True, False]),
        lambda: random.choice([0, -1, 1 << 70, 1e308, random.random()]),
        lambda: "".join(chr(random.randrange(1, 0xD7FF)) for _ in range(random.randrange(12))),
        lambda: random.choice([*CLIENT_EVENTS, "AAAA", "message", "server_vad", "realtime"]),
    ]
    if depth < 4:
        kinds += [
            lambda: [anything(random, depth + 1) for _ in range(random.randrange(4))],
            lambda: {name(random): anything(random, depth + 1) for _ in range(random.randrange(5))},
        ] * 2
    return random.choice(kinds)()


def name(random: random.Random) -> str:
    known = ["type", "session", "audio", "item", "response", "item_id", "content", "input", "role",
             "event_id", "turn_detection", "format", "audio_end_ms", "content_index"]  # fmt: skip
    return random.choice(known)


def event(random: random.Random) -> str:
    kind = random.random()
    if kind < 0.1:
        return "".join(chr(random.randrange(1, 255)) for _ in range(random.randrange(200)))
    given = {name(random): anything(random) for _ in range(random.randrange(6))}
    if kind < 0.9:
        given["type"] = random.choice(list(CLIENT_EVENTS))
    text = json.dumps(given)
    return text[: random.randrange(len(text))] if kind > 0.95 else text


def test_events_are_read_or_refused() -> None:
    drawn = random.Random(0)
    for _ in range(READ):
        with suppress(EventRefused):
            read_event(event(drawn), 1 << 16)
    for text in ("[" * 100_000, '{"type":' * 50_000, "\ud800", "NaN", b"\xff\xfe"):
        with pytest.raises(EventRefused):
            read_event(text, 1 << 20)


def test_a_session_outlives_them_and_so_do_others(port: int) -> None:
    place, drawn = f"ws://127.0.0.1:{port}/v1/realtime", random.Random(1)

    async def talk() -> None:
        async with connect(place, max_size=None) as other, connect(place, max_size=None) as socket:
            for _ in range(SENT):
                await socket.send(event(drawn))
            for one in (socket, other):
                update = {"type": "session.update", "event_id": "last", "session": {
                    "type": "realtime", "instructions": "still here"}}  # fmt: skip
                await one.send(json.dumps(update))
                while True:
                    found = json.loads(await one.recv())
                    if found["type"] == "error":
                        assert found["error"]["code"] != "internal_error", found
                    if found.get("session", {}).get("instructions") == "still here":
                        break

    asyncio.run(talk())


def test_what_is_far_too_large_ends_that_session_alone(port: int) -> None:
    place = f"ws://127.0.0.1:{port}/v1/realtime"

    async def talk() -> None:
        async with connect(place) as other:
            async with connect(place) as socket:
                with suppress(ConnectionClosed):
                    await socket.send("x" * (20 << 20))
                async with asyncio.timeout(60):
                    await socket.wait_closed()
            await other.send('{"type": "input_audio_buffer.clear"}')
            kinds = [json.loads(await other.recv())["type"] for _ in range(3)]
            assert kinds[-1] == "input_audio_buffer.cleared"

    asyncio.run(talk())
