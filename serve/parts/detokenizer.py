"""The service that gives replies their sound, as they are made.

A replica reads the reply from the LLM itself, so that everything about an utterance is in one place
and any replica can speak any utterance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavemill.model.assistant import ReplyPiece, semantic_tokenizer
from wavemill.model.detokenizer.detokenizer import Detokenizer as Networks
from wavemill.model.detokenizer.detokenizer import DetokenizerStream
from wavemill.model.detokenizer.history import History
from wavemill.serve.config import ServeConfig
from wavemill.serve.parts.asked import Answer, Asked, Refused
from wavemill.serve.parts.loading import prepared

HEARD_RATE = 16_000


class Detokenizer:
    """A replica."""

    def __init__(self, config: ServeConfig, llm: Any) -> None:
        """`llm` is the handle of the LLM's service."""
        folder = prepared(config)
        self._networks = Networks.from_pretrained(config.detokenizer or folder, config.device)
        self._llm = llm
        self._voices = self._read_voices(config, folder)

    async def voices(self) -> list[str]:
        """Return the names of the voices; any other name is answered in the model's own."""
        return sorted(self._voices)

    async def reply(self, asked: Asked) -> AsyncIterator[Answer]:
        """Yield a reply with its sound, float32 (samples,) at the detokenizer's rate."""
        noise = torch.Generator().manual_seed(asked.settings.seed)
        stream = self._networks.stream(noise, self._voices.get(asked.voice or ""))
        answers = self._llm.options(stream=True).reply.remote(asked)
        complete, refused = False, False
        try:
            async for answer in answers:
                refused = isinstance(answer, Refused)
                if isinstance(answer, list):
                    complete = answer[-1].complete
                    yield await asyncio.to_thread(_voiced, stream, answer)
                else:
                    yield answer
            if not refused:
                rest = await asyncio.to_thread(stream.push, [], True)
                yield [ReplyPiece("", rest.cpu(), complete)]
        finally:
            answers.cancel()

    def _read_voices(self, config: ServeConfig, folder: Path) -> dict[str, History]:
        if not config.voices:
            return {}
        from wavemill.pipeline.library.sound import sound_of

        semantic = semantic_tokenizer(folder, config.semantic, config.device)
        rate = self._networks.config.vocoder.sampling_rate
        found = {}
        for name, file in config.voices.items():
            (codes,) = semantic.encode([sound_of(file, HEARD_RATE)])
            played = torch.from_numpy(np.ascontiguousarray(sound_of(file, rate)))
            found[name] = self._networks.voice(torch.from_numpy(codes), played)
        return found


def _voiced(stream: DetokenizerStream, pieces: Sequence[ReplyPiece]) -> list[ReplyPiece]:
    """Return pieces with the sound that their codes complete, in the last of them."""
    codes = [code for piece in pieces for code in piece.codes]
    if not codes:
        return list(pieces)
    return [*pieces[:-1], replace(pieces[-1], audio=stream.push(codes).cpu())]
