"""Token layouts against the stored conversations of both published revisions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.conformance import LLM, TABLE, needs_fixtures, notes
from tests.model.prompt.names import special_tokens
from tests.model.prompt.reading import read
from wavemill.model.prompt.layout import (
    Format,
    Layout,
    LayoutError,
    Reply,
    Revision,
    TokenMessage,
    Vocabulary,
    shifted,
)

pytestmark = needs_fixtures
VERSIONS = notes("prompts/layouts")["versions"] if LLM.is_dir() else []


def conversation(messages: list[dict[str, Any]]) -> list[TokenMessage]:
    """Return stored messages with the stub tokenizers: bytes for text, a table for audio."""
    return [TokenMessage(message["role"], **content(message)) for message in messages]


def content(message: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    codes = notes("prompts/layouts")["stub_audio_tokenizer"]["codes_per_file"]
    said = message["content"]
    if "audio_tokens" in message:  # given beforehand, with the offset
        return {"codes": tuple(id_ - Vocabulary().audio_offset for id_ in message["audio_tokens"])}
    match message["message_type"]:
        case "text":
            return {"text": tuple(said.encode())}
        case "audio":
            return {"codes": tuple(codes[said])}
        case "audio-text":
            return {"codes": tuple(codes[said[0]]), "text": tuple(said[1].encode())}
    return {}


def marked(flags: tuple[bool, ...] | list[bool]) -> list[int]:
    return [position for position, flag in enumerate(flags) if flag]


def differing(layout: Layout, case: dict[str, Any]) -> int:
    """Return in how many positions the layout or its marks differ from the stored ones."""
    pairs = [
        (list(layout.audio_ids), case["audio_ids"]),
        (list(layout.text_ids), case["text_ids"]),
        (marked(layout.continuous), case["continuous_positions"]),
    ]
    if "audio_loss_flag_positions" in case:
        pairs.append((marked(layout.audio_loss_mask), case["audio_loss_flag_positions"]))
        pairs.append((marked(layout.text_loss_mask), case["text_loss_flag_positions"]))
    return sum(
        abs(len(found) - len(wanted)) + sum(a != b for a, b in zip(found, wanted, strict=False))
        for found, wanted in pairs
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_layouts(version: str) -> None:
    for case in notes("prompts/layouts")[version].values():
        style = Format(revision=Revision(version), delay=case.get("delay", 6))
        ask = case.get("add_assistant_start_msg", True)
        given = any("audio_tokens" in message for message in case["messages"])
        if "raises" in case and not given:
            with pytest.raises(LayoutError):
                style.layout(conversation(case["messages"]), Reply(case["output_type"]), ask)
            TABLE.add(f"prompt: refused, {version}", 0.0)
            continue
        layout = style.layout(conversation(case["messages"]), Reply(case["output_type"]), ask)
        if "raises" in case:
            # An unset variable in the published code; codes given beforehand are the rule here.
            assert layout.audio_ids[2:5] == tuple(case["messages"][0]["audio_tokens"])
            continue
        TABLE.add(f"prompt: layouts, {version}", differing(layout, case))
        runs = [len(run) for run in "".join("x" if c else " " for c in layout.continuous).split()]
        assert runs == case["continuous_feature_rows"]


@pytest.mark.parametrize("version", VERSIONS)
def test_layouts_read_back(version: str) -> None:
    for case in notes("prompts/layouts")[version].values():
        if "raises" in case:
            continue
        found = read(case["audio_ids"], case["text_ids"])
        TABLE.add(
            "prompt: read back", float(merged(found) != merged(conversation(case["messages"])))
        )


def merged(messages: list[TokenMessage]) -> list[TokenMessage]:
    """Return messages with neighbouring texts of one role joined and empty texts left out."""
    joined: list[TokenMessage] = []
    for message in messages:
        last = joined[-1] if joined else None
        if message.codes is None and not message.text:
            continue
        if last and last.role == message.role and last.codes is None and message.codes is None:
            joined[-1] = TokenMessage(last.role, (last.text or ()) + (message.text or ()))
        else:
            joined.append(message)
    return joined


def test_finetuning_layouts() -> None:
    for case in notes("prompts/finetune_layouts")["cases"].values():
        reply = Reply.TEXT if case["task_type"] == "understanding" else Reply.BOTH
        messages = conversation(case["conversation"])
        layout = Format(revision=Revision.JUNE).layout(messages, reply, ask=False)
        assert sum(message.codes is not None for message in messages) == case["num_waveforms"]
        found = differing(layout, case)
        for stream, ids, learnt in (
            ("audio", layout.audio_ids, layout.audio_loss_mask),
            ("text", layout.text_ids, layout.text_loss_mask),
        ):
            labels, counts = shifted(ids, learnt, Vocabulary().pad)
            found += labels != case[f"{stream}_labels"]
            found += marked(counts) != case[f"{stream}_loss_positions"]
        TABLE.add("prompt: fine-tuning layouts and labels", found)


def test_special_tokens() -> None:
    case, vocabulary = notes("prompts/special_tokens"), Vocabulary()
    names = {vocabulary.text_tokens + i: name for i, name in enumerate(special_tokens(vocabulary))}
    wanted = {entry["id"]: entry["token"] for entry in case["special_tokens"]}
    TABLE.add("prompt: special tokens", sum(names.get(i) != token for i, token in wanted.items()))
    assert names.keys() == wanted.keys()
    symbols = {
        entry["symbol"]: entry["id"] for entry in case["special_tokens"] if entry.get("symbol")
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
    assert vocabulary.pad == case["pad"]["id"]
    tiny = Vocabulary(text_tokens=64, audio_offset=112)
    for name, id_ in notes("llm/cases")["special_token_ids"].items():
        assert special_tokens(tiny)[id_ - 64] == name
