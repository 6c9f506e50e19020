from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wavemill.model.assistant import Assistant, Turn
from wavemill.model.creation import create
from wavemill.model.generate.streams import GenerateSettings
from wavemill.model.prompt.layout import Reply, Role


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    create(folder, "tiny")
    return folder


def test_conversation_with_both_streams(folder: Path) -> None:
    assistant = Assistant.from_pretrained(folder)
    sound = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) / 10
    turns = [
        Turn(Role.USER, text="what is this?"),
        Turn(Role.USER, audio=sound),
        Turn(Role.ASSISTANT, text="noise", audio=sound[:4000]),
        Turn(Role.USER, audio=sound[:8000]),
    ]
    prompt = assistant.prompt(turns, Reply.BOTH)
    # The assistant's spoken message carries no features.
    assert [len(rows) for rows in prompt.features] == [13, 7]
    assert int(prompt.continuous.sum()) == 20
    settings = GenerateSettings(reply=Reply.BOTH, max_new_tokens=30)
    pieces = list(assistant.reply(turns, settings))
    assert len(pieces) == 31  # one a step, and what the detokenizer held back
    samples = sum(len(piece.audio) for piece in pieces)
    assert samples % 1920 == 0
    again = list(assistant.reply(turns, settings))
    assert all(torch.equal(a.audio, b.audio) for a, b in zip(pieces, again, strict=True))


def test_text_reply_needs_no_detokenizer(folder: Path) -> None:
    assistant = Assistant.from_pretrained(folder, dtype=torch.bfloat16, speaks=False)
    turns = [Turn(Role.USER, text="hello")]
    assert list(assistant.reply(turns, GenerateSettings(max_new_tokens=5)))
    with pytest.raises(ValueError, match="a spoken reply needs the detokenizer"):
        list(assistant.reply(turns, GenerateSettings(reply=Reply.BOTH)))
