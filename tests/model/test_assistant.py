from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wavemill.model.assistant import Assistant, Message, replied
from wavemill.model.creation import create
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.prompt.layout import LayoutError, Reply, Role


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


def test_a_conversation_is_kept_as_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No message is tokenised twice, and a spoken reply never from its own waveform."""
    assistant = Assistant.from_pretrained(folder)
    encoded: list[int] = []
    encode = assistant.semantic.encode
    monkeypatch.setattr(
        assistant.semantic, "encode", lambda some: (encoded.append(len(some)), encode(some))[1]
    )
    sound = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) / 10
    settings = GenerateSettings(reply=Reply.BOTH, max_new_tokens=20)
    talk = assistant.tokenised([Message(Role.USER, audio=sound)])
    pieces = list(assistant.reply(talk, settings))
    answer = replied(pieces)
    assert answer.tokens is not None
    assert answer.tokens.codes == tuple(code for piece in pieces for code in piece.codes)
    talk = assistant.tokenised([*talk, answer, Message(Role.USER, audio=sound[:8000])])
    prompt = assistant.prompt(talk, Reply.BOTH)
    assert sum(encoded) == 2
    assert [len(rows) for rows in prompt.features] == [13, 7]
    again = Assistant.from_pretrained(folder).prompt([Message(Role.USER, audio=sound)], Reply.BOTH)
    assert torch.equal(prompt.audio_ids[:14], again.audio_ids[:14])
    with pytest.raises(LayoutError, match="neither text nor speech"):
        replied([])


def test_replies_that_are_asked_for_together_are_those_of_each(folder: Path) -> None:
    assistant = Assistant.from_pretrained(folder)
    settings = [
        GenerateSettings(reply=reply, max_new_tokens=12, seed=seed)
        for seed, reply in enumerate((Reply.BOTH, Reply.TEXT, Reply.BOTH))
    ]
    asked = [[Message(Role.USER, text=text)] for text in ("what?", "who said so?", "hm")]
    pairs = list(zip(asked, settings, strict=True))
    wanted = [list(assistant.reply(*pair)) for pair in pairs]
    found = list(zip(*(assistant.reply(*pair) for pair in pairs), strict=True))
    for reply, together in zip(wanted, zip(*found, strict=True), strict=True):
        for one, other in zip(reply, together, strict=True):
            assert (one.text, one.codes, one.complete) == (other.text, other.codes, other.complete)
            assert torch.equal(one.audio, other.audio)


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
