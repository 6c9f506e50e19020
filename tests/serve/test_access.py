"""Keys, and places that keys share."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from wavemill.pipeline.config import ConfigError
from wavemill.serve.config import KEYS_VARIABLE, ServeConfig
from wavemill.serve.gateway.access import Access, Denied, read_keys
from wavemill.serve.gateway.fair import FairPlaces, Full
from wavemill.serve.gateway.gateway import Gateway

HOST = {"host": "example.org"}


def test_a_key_is_needed_and_owns_its_conversations() -> None:
    access = Access(("one", "two"), ())
    first = access.owner(HOST | {"authorization": "Bearer one"})
    assert first == access.owner(HOST, ["realtime", "openai-insecure-api-key.one"])
    assert first != access.owner(HOST | {"authorization": "bearer two"})
    for headers in ({}, {"authorization": "Bearer three"}, {"authorization": "Basic one"}):
        with pytest.raises(Denied) as caught:
            access.owner(HOST | headers)
        assert caught.value.status == 401


def test_origins() -> None:
    access = Access(("one",), ("https://friend.org",))
    headers = HOST | {"authorization": "Bearer one"}
    for origin in ("http://example.org", "https://friend.org"):
        access.owner(headers | {"origin": origin})
    for origin in ("https://foe.org", "null", "http://example.org.foe.org"):
        with pytest.raises(Denied, match="may not connect"):
            access.owner(headers | {"origin": origin})


def test_without_keys_only_this_machine_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    assert read_keys(ServeConfig()) == ()
    with pytest.raises(ConfigError, match="there are no keys"):
        read_keys(ServeConfig(host="0.0.0.0"))
    file = tmp_path / "keys"
    file.write_text("one\ntwo\n", encoding="utf-8")
    assert read_keys(ServeConfig(host="0.0.0.0", keys_file=str(file))) == ("one", "two")
    monkeypatch.setenv(KEYS_VARIABLE, "three, four")
    assert read_keys(ServeConfig(host="0.0.0.0")) == ("three", "four")
    with pytest.raises(Denied, match="without keys"):
        Access((), ()).owner({"host": "rebound.example.org"})


def test_who_has_no_key_reaches_no_service() -> None:
    """There are none here, and none is asked."""
    gateway = Gateway(ServeConfig(), ("one",), None, None, None)
    reached = TestClient(gateway.asgi)
    for path in ("/v1/models", "/metrics"):
        answer = reached.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
    answer = reached.post("/v1/chat/completions", headers={"Authorization": "Bearer two"}, json={})
    assert answer.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(WebSocketDisconnect), reached.websocket_connect("/v1/realtime"):
        raise AssertionError("connected")


def test_keys_take_turns() -> None:
    async def ask() -> list[str]:
        places, served = FairPlaces(1, 100), []

        async def one(key: str) -> None:
            async with places.place(key):
                served.append(key)
                await asyncio.sleep(0)

        async with places.place("first"):
            tasks = [asyncio.ensure_future(one(key)) for key in "aaaaabbc"]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return served

    assert "".join(asyncio.run(ask())) == "abcabaaa"


def test_too_many_are_refused_and_who_leaves_gives_the_place_back() -> None:
    async def ask() -> None:
        places = FairPlaces(1, 1)
        async with places.place("a"):
            waiting = asyncio.ensure_future(places._take("a"))
            await asyncio.sleep(0)
            with pytest.raises(Full, match="1 replies wait"):
                await places._take("b")
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert places.waiting == 0
        async with asyncio.timeout(1), places.place("b"):
            pass

    asyncio.run(ask())
