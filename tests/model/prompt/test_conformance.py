"""Token layouts against the stored conversations of both published revisions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.conformance import LLM, TABLE, needs_fixtures, notes
from wavemill.model.prompt.layout import (
    Format,
    Layout,
    LayoutError,
    Message,
    Reply,
    Revision,
    shifted,
)
from wavemill.model.prompt.reading import read
from wavemill.model.prompt.vocabulary import Vocabulary

pytestmark = needs_fixtures
VERSIONS = notes("prompts/layouts")["versions"] if LLM.is_dir() else []


def conversation(messages: list[dict[str, Any]]) -> list[Message]:
    """Return stored messages with the stub tokenizers: bytes for text, a table for audio."""
    return [Message(message["role"], **content(message)) for message in messages]


def content(message: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    codes = notes("prompts/layouts")["stub_audio_tokenizer"]["codes_per_file"]
    told = message["content"]
    if "audio_tokens" in message:  # given beforehand, with the offset
        return {"codes": tuple(id_ - Vocabulary().audio_offset for id_ in message["audio_tokens"])}
    match message["message_type"]:
        case "text":
            return {"text": tuple(told.encode())}
        case "audio":
            return {"codes": tuple(codes[told])}
        case "audio-text":
            return {"codes": tuple(codes[told[0]]), "text": tuple(told[1].encode())}
    return {}


def marked(flags: tuple[bool, ...] | list[bool]) -> list[int]:
    return [position for position, flag in enumerate(flags) if flag]


def differing(layout: Layout, told: dict[str, Any]) -> int:
    """Return in how many positions the layout or its marks differ from the stored ones."""
    pairs = [
        (list(layout.audio_ids), told["audio_ids"]),
        (list(layout.text_ids), told["text_ids"]),
        (marked(layout.continuous), told["continuous_positions"]),
    ]
    if "audio_loss_flag_positions" in told:
        pairs.append((marked(layout.audio_learnt), told["audio_loss_flag_positions"]))
        pairs.append((marked(layout.text_learnt), told["text_loss_flag_positions"]))
    return sum(
        abs(len(found) - len(wanted)) + sum(a != b for a, b in zip(found, wanted, strict=False))
        for found, wanted in pairs
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_layouts(version: str) -> None:
    for told in notes("prompts/layouts")[version].values():
        style = Format(revision=Revision(version), delay=told.get("delay", 6))
        ask = told.get("add_assistant_start_msg", True)
        given = any("audio_tokens" in message for message in told["messages"])
        if "raises" in told and not given:
            with pytest.raises(LayoutError):
                style.layout(conversation(told["messages"]), Reply(told["output_type"]), ask)
            TABLE.add(f"prompt: refused, {version}", 0.0)
            continue
        layout = style.layout(conversation(told["messages"]), Reply(told["output_type"]), ask)
        if "raises" in told:
            # An unset variable in the published code; codes given beforehand are the rule here.
            assert layout.audio_ids[2:5] == tuple(told["messages"][0]["audio_tokens"])
            continue
        TABLE.add(f"prompt: layouts, {version}", differing(layout, told))
        runs = [len(run) for run in "".join("x" if c else " " for c in layout.continuous).split()]
        assert runs == told["continuous_feature_rows"]


@pytest.mark.parametrize("version", VERSIONS)
def test_layouts_read_back(version: str) -> None:
    for told in notes("prompts/layouts")[version].values():
        if "raises" in told:
            continue
        found = read(told["audio_ids"], told["text_ids"])
        TABLE.add(
            "prompt: read back", float(merged(found) != merged(conversation(told["messages"])))
        )


def merged(messages: list[Message]) -> list[Message]:
    """Return messages with neighbouring texts of one role joined and empty texts left out."""
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else None
        if message.codes is None and not message.text:
            continue
        if last and last.role == message.role and last.codes is None and message.codes is None:
            joined[-1] = Message(last.role, (last.text or ()) + (message.text or ()))
        else:
            joined.append(message)
    return joined


def test_finetuning_layouts() -> None:
    for told in notes("prompts/finetune_layouts")["cases"].values():
        reply = Reply.TEXT if told["task_type"] == "understanding" else Reply.BOTH
        messages = conversation(told["conversation"])
        layout = Format(revision=Revision.JUNE).layout(messages, reply, ask=False)
        assert sum(message.codes is not None for message in messages) == told["num_waveforms"]
        found = differing(layout, told)
        for stream, ids, learnt in (
            ("audio", layout.audio_ids, layout.audio_learnt),
            ("text", layout.text_ids, layout.text_learnt),
        ):
            labels, counts = shifted(ids, learnt, Vocabulary().pad)
            found += labels != told[f"{stream}_labels"]
            found += marked(counts) != told[f"{stream}_loss_positions"]
        TABLE.add("prompt: fine-tuning layouts and labels", found)


def test_special_tokens() -> None:
    told, vocabulary = notes("prompts/special_tokens"), Vocabulary()
    names = {vocabulary.text_tokens + i: name for i, name in enumerate(vocabulary.special_tokens())}
    wanted = {entry["id"]: entry["token"] for entry in told["special_tokens"]}
    TABLE.add("prompt: special tokens", sum(names.get(i) != token for i, token in wanted.items()))
    assert names.keys() == wanted.keys()
    symbols = {
        entry["symbol"]: entry["id"] for entry in told["special_tokens"] if entry.get("symbol")
    }
    assert symbols == {
        "MSG_END": vocabulary.msg_end,
        "MEDIA_BEGIN": vocabulary.media_begin,
        "MEDIA_END": vocabulary.media_end,
        "BLANK": vocabulary.blank,
        "TEXT_EOS": vocabulary.text_eos,
        "USER": vocabulary.user,
        "ASSISTANT": vocabulary.assistant,
        "CT": vocabulary.reply_text,
        "CTD": vocabulary.reply_both,
    }
    assert vocabulary.pad == told["pad"]["id"]
    tiny = Vocabulary(text_tokens=64, audio_offset=112)
    for name, id_ in notes("llm/cases")["special_token_ids"].items():
        assert tiny.special_tokens()[id_ - 64] == name
