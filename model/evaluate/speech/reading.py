"""Texts read aloud by an audio LLM, as semantic tokens: what its pre-training's TTS task taught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from wavemill.model.assistant import Assistant, read_aloud_settings
from wavemill.model.evaluate.speech.resynthesis import Take
from wavemill.model.generate.generate import GenerateSettings, generate

TOGETHER = 32  # texts that are read at once
LONGEST = 2.0  # times the longest recording: where a reading that does not end is cut


def read_takes(
    assistant: Assistant, takes: Sequence[Take], settings: GenerateSettings
) -> Iterator[Take]:
    """Yield takes with the tokens, int32 (n,), that an LLM says their texts with, as they come.

    Their audio stays that of the recordings, which the tokens know nothing of. Nothing at all may
    be said. Raises LayoutError for a take without text, NoRoom for one that is too long.
    """
    limit = round(LONGEST * max((len(take.tokens) for take in takes), default=0)) + 1
    told = read_aloud_settings(settings).model_copy(update={"max_new_tokens": limit})
    for start in range(0, len(takes), TOGETHER):
        some = takes[start : start + TOGETHER]
        prompts = [assistant.text_prompt(take.text) for take in some]
        seeded = told.model_copy(update={"seed": settings.seed + start})
        for take, result in zip(some, generate(assistant.llm, prompts, seeded), strict=True):
            yield replace(take, tokens=np.array(result.codes, np.int32))
