from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wavemill.model.assistant import Assistant, Message
from wavemill.model.creation import create
from wavemill.model.generate.generate import GenerateSettings
from wavemill.model.prompt.layout import Reply, Role


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    create(folder, "tiny")
    return folder


def test_conversation_with_both_streams(folder: Path) -> None:
    assistant = Assistant.from_pretrained(folder)
    sound = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) / 10
    messages = [
        Message(Role.USER, text="what is this?"),
        Message(Role.USER, audio=sound),
        Message(Role.ASSISTANT, text="noise", audio=sound[:4000]),
        Message(Role.USER, audio=sound[:8000]),
    ]
    prompt = assistant.prompt(messages, Reply.BOTH)
    # The assistant's spoken message carries no features.
    assert [len(rows) for rows in prompt.features] == [13, 7]
    assert int(prompt.continuous.sum()) == 20
    settings = GenerateSettings(reply=Reply.BOTH, max_new_tokens=30)
    pieces = list(assistant.reply(messages, settings))
    assert len(pieces) == 31  # one a step, and what the detokenizer held back
    samples = sum(len(piece.audio) for piece in pieces)
    assert samples % 1920 == 0
    again = list(assistant.reply(messages, settings))
    assert all(torch.equal(a.audio, b.audio) for a, b in zip(pieces, again, strict=True))


def test_text_reply_needs_no_detokenizer(folder: Path) -> None:
    assistant = Assistant.from_pretrained(folder, dtype=torch.bfloat16, speaks=False)
    messages = [Message(Role.USER, text="hello")]
    assert list(assistant.reply(messages, GenerateSettings(max_new_tokens=5)))
    with pytest.raises(ValueError, match="a spoken reply needs the detokenizer"):
        list(assistant.reply(messages, GenerateSettings(reply=Reply.BOTH)))


def test_the_old_name_of_a_message_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="now called Message"):
        from wavemill.model.assistant import Turn
    assert Turn(Role.USER, text="hello") == Message(Role.USER, text="hello")
