"""What tests of the network and of the engine share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.llm.cache import Memory
from wavemill.model.llm.network import AudioLlm, LlmOutput, NextIds, Prompts


def collate(prompts: Sequence[LlmPrompt], pad: int, left: bool = False) -> dict[str, Any]:
    """Return prompts as arguments of `AudioLlm.forward`, padded on the right or on the `left`."""
    longest = max(len(prompt.audio_ids) for prompt in prompts)

    def stack(rows: Sequence[Tensor], value: int) -> Tensor:
        padded = []
        for row in rows:
            gap = longest - len(row)
            sides = (gap, 0) if left else (0, gap)
            padded.append(torch.nn.functional.pad(row, sides, value=value))
        return torch.stack(padded)

    real = stack([torch.ones_like(prompt.audio_ids) for prompt in prompts], 0)
    packed = [rows for prompt in prompts if (rows := prompt.packed()) is not None]
    return {
        "audio_ids": stack([prompt.audio_ids for prompt in prompts], pad),
        "text_ids": stack([prompt.text_ids for prompt in prompts], pad),
        "continuous": stack([p.continuous & bool(p.features) for p in prompts], 0).bool(),
        "features": torch.cat(packed) if packed else None,
        "attention_mask": None if real.all() else real,
        "position_ids": (real.cumsum(1) - 1).clamp_min(0),
    }


def read(
    network: AudioLlm,
    prompts: Sequence[LlmPrompt],
    memory: Memory,
    text: Sequence[int] | None = None,
    audio: Sequence[int] | None = None,
) -> LlmOutput:
    """Read prompts into a memory; `text` and `audio` are those that need a branch (None: all)."""
    everyone = range(len(prompts))
    for part, owners in zip(memory.parts, (everyone, text, audio), strict=True):
        for owner in everyone if owners is None else owners:
            part.join(owner)
        part.reserve(len(prompts), max(len(one.audio_ids) for one in prompts))
    features = [rows for one in prompts if (rows := one.packed()) is not None]
    return network.read(
        Prompts(
            torch.cat([one.audio_ids for one in prompts]),
            torch.cat([one.text_ids for one in prompts]),
            torch.cat([one.continuous & bool(one.features) for one in prompts]),
            torch.cat(features) if features else None,
            [len(one.audio_ids) for one in prompts],
            list(everyone),
        ),
        memory,
    )


def stepped(
    network: AudioLlm, audio_ids: Tensor, text_ids: Tensor, lengths: Sequence[int], memory: Memory
) -> LlmOutput:
    """Read one more position of each row, in the order of the trunk's slots."""
    owners, longest = memory.trunk.owners, max(lengths) + 1
    for part in memory.parts:
        part.reserve(len(owners), longest)
    text, audio = (
        torch.tensor([owners.index(one) for one in part.owners], dtype=torch.int64)
        for part in memory.parts[1:]
    )
    given = NextIds(audio_ids, text_ids, torch.tensor(lengths), text, audio)
    return network.step(given, memory, longest)
