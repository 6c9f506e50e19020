"""The service that turns what a user says or writes into tokens."""

from __future__ import annotations

import asyncio

import numpy as np
import torch
from torch import Tensor

from wavemill.model.assistant import ACOUSTIC_FOLDER, semantic_tokenizer
from wavemill.model.io.folders import validated
from wavemill.model.llm.config import LlmConfig
from wavemill.model.prompt.text import load_text_tokenizer
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.serve.config import ServeConfig
from wavemill.serve.parts.loading import dtype_of, prepared


class Tokenizer:
    """A replica. Each message is tokenised once; from then on it is its tokens."""

    def __init__(self, config: ServeConfig) -> None:
        folder = prepared(config)
        self._text = load_text_tokenizer(folder, validated(LlmConfig, folder).text_vocab)
        self._semantic = semantic_tokenizer(folder, config.semantic, config.device)
        self._acoustic = AcousticEncoder.from_pretrained(
            folder / ACOUSTIC_FOLDER, config.device, dtype_of(config)
        )

    async def text(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text."""
        return tuple(self._text.encode(text))

    async def sound(self, sound: np.ndarray) -> tuple[tuple[int, ...], Tensor]:
        """Return the codes and the acoustic features (rows, width) of float32 (samples,), 16 kHz.

        A token and a row are 80 ms.
        """
        return await asyncio.to_thread(self._encoded, sound)

    def _encoded(self, sound: np.ndarray) -> tuple[tuple[int, ...], Tensor]:
        (codes,) = self._semantic.encode([sound])
        with torch.inference_mode():
            (rows,) = self._acoustic.features([sound])
        return tuple(codes.tolist()), rows.cpu().clone()
