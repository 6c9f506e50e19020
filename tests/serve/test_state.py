"""Conversations as tokens, and the stores that keep them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from wavemill.model.prompt.layout import Role, TokenMessage
from wavemill.pipeline.config import ConfigError
from wavemill.serve.config import Limits, ServeConfig
from wavemill.serve.conversation import Conversation, Item
from wavemill.serve.store.interface import Store, open_store


def items() -> list[Item]:
    features = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
    return [
        Item("a", "user", spoken=True, codes=(1, 2), features=features),
        Item("b", "assistant", "hello you", True, text_ids=(3, 4, 5, 6), codes=(7, 8, 9, 10)),
        Item("c", "system", "be short", text_ids=(11,)),
    ]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    place = "memory" if request.param == "memory" else f"sqlite:{tmp_path / 'talks.db'}"
    return open_store(place, Limits())


def test_a_conversation_is_what_was_stored(store: Store) -> None:
    talk = Conversation("conv")
    for item in items():
        talk.add(item)
    store.write("conv", talk.changed)
    found = Conversation.stored("conv", store.read("conv"))
    for item, again in zip(talk.items, found.items, strict=True):
        assert again.to_bytes() == item.to_bytes()
    assert torch.equal(found.items[0].features, talk.items[0].features)  # type: ignore[arg-type]
    assert store.read("other") == {}


def test_only_changes_are_written(store: Store) -> None:
    talk = Conversation("conv")
    for item in items():
        talk.add(item)
    store.write("conv", talk.changed)
    talk.changed = {}
    talk.items[1].truncate(160)
    talk.touch(talk.items[1])
    talk.remove(talk.items[0])
    assert sorted(talk.changed) == ["a", "b", "order"]
    store.write("conv", talk.changed)
    found = Conversation.stored("conv", store.read("conv"))
    assert [item.id for item in found.items] == ["b", "c"]
    assert (found.items[0].codes, found.items[0].text) == ((7, 8), "hell")


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    limits = Limits(kept_seconds=0.2)
    for place in ("memory", f"sqlite:{tmp_path / 'talks.db'}"):
        store = open_store(place, limits)
        store.write("conv", {"a": b"1"})
        assert store.read("conv") == {"a": b"1"}
        time.sleep(0.3)
        assert store.read("conv") == {}


def test_the_memory_is_bounded() -> None:
    store = open_store("memory", Limits(kept_bytes=1 << 20))
    for number in range(5):
        store.write(str(number), {"a": bytes(400_000)})
    assert [bool(store.read(str(number))) for number in range(5)] == [False] * 3 + [True] * 2


def test_an_item_as_the_model_reads_it() -> None:
    user, reply, system = (item.message(6) for item in items())
    assert user is not None
    assert reply is not None
    assert system is not None
    assert user.tokens == TokenMessage(Role.USER, None, (1, 2))
    assert reply.tokens == TokenMessage(Role.ASSISTANT, (3, 4, 5, 6), (7, 8, 9, 10))
    assert (system.role, system.tokens) == (Role.USER, TokenMessage(Role.USER, (11,)))
    # Beside one code and no delay there is room for one text id.
    short = Item("d", "assistant", "long", True, text_ids=(1, 2, 3), codes=(4,)).message(0)
    assert short is not None
    assert short.tokens == TokenMessage(Role.ASSISTANT, (1,), (4,))
    assert Item("e", "assistant", "").message(6) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"store": "somewhere"}, "neither memory nor sqlite"),
        ({"store": "sqlite:/no/such/folder/talks.db"}, "unable to open"),
    ],
)
def test_a_wrong_store_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_store(fields["store"], Limits())


def test_several_gateways_need_a_store_that_they_share() -> None:
    fields: dict[str, Any] = {"gateway_service": {"replicas": 2}}
    with pytest.raises(ValueError, match="several gateways"):
        ServeConfig.model_validate(fields)
    assert ServeConfig.model_validate(fields | {"store": "redis://localhost"})
