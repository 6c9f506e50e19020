"""The services as the gateway sees them. A replica that dies delays a reply; it is made again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from wavemill.model.assistant import ReplyPiece
from wavemill.model.prompt.layout import Reply
from wavemill.serve.parts.asked import Asked, Begun, Facts, Refused

ATTEMPTS = 3  # of a call whose replica dies
WAIT_SECONDS = 180.0  # for the next piece of a reply, the start of a new replica included

Known = TypeVar("Known")


class ReplyRefused(Exception):
    """A reply cannot be made as it was asked for."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unavailable(Exception):
    """A service does not answer, also after it was asked again."""


@dataclass
class _Count:
    """How much of a reply has come."""

    text: int = 0
    ids: int = 0
    codes: int = 0
    samples: int = 0

    def add(self, piece: ReplyPiece) -> None:
        self.text += len(piece.text)
        self.ids += len(piece.text_ids)
        self.codes += len(piece.codes)
        self.samples += len(piece.audio)

    def unseen(self, piece: ReplyPiece, come: _Count) -> ReplyPiece:
        """Return what is new of a piece that comes behind `come`, where this much was seen."""
        return replace(
            piece,
            text=piece.text[max(0, self.text - come.text) :],
            text_ids=piece.text_ids[max(0, self.ids - come.ids) :],
            codes=piece.codes[max(0, self.codes - come.codes) :],
            audio=piece.audio[max(0, self.samples - come.samples) :],
        )


class Backend:
    """Calls of the three services, by the handles of Ray Serve."""

    def __init__(self, tokenizer: Any, llm: Any, detokenizer: Any) -> None:
        """`detokenizer` is None for a model that does not speak."""
        self._tokenizer, self._llm, self._detokenizer = tokenizer, llm, detokenizer

    @property
    def speaks(self) -> bool:
        return self._detokenizer is not None

    async def facts(self) -> Facts:
        return await self._call(lambda: self._llm.facts.remote())

    async def rows(self) -> int:
        """Return how many replies one LLM is making."""
        return await self._call(lambda: self._llm.rows.remote())

    async def text(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text."""
        return await self._call(lambda: self._tokenizer.text.remote(text))

    async def sound(self, sound: np.ndarray) -> tuple[tuple[int, ...], Tensor]:
        """Return the codes and features of float32 (samples,) at 16 kHz."""
        return await self._call(lambda: self._tokenizer.sound.remote(sound))

    async def reply(self, asked: Asked) -> AsyncGenerator[Begun | list[ReplyPiece], None]:
        """Yield a reply as it is made. Raises ReplyRefused and Unavailable.

        Where a replica dies, the reply is made again: by the same seed, it is the same, and what
        was yielded already is left out.
        """
        spoken = asked.settings.reply is Reply.BOTH
        service = self._detokenizer if spoken else self._llm
        given, begun = _Count(), False
        for attempt in range(ATTEMPTS):
            come = _Count()
            answers = service.options(stream=True).reply.remote(asked)
            try:
                while True:
                    try:
                        async with asyncio.timeout(WAIT_SECONDS):
                            answer = await anext(answers)
                    except StopAsyncIteration:
                        return
                    if isinstance(answer, Refused):
                        raise ReplyRefused(answer.code, answer.message)
                    if isinstance(answer, Begun):
                        if not begun:
                            begun = True
                            yield answer
                        continue
                    new = []
                    for piece in answer:
                        new.append(given.unseen(piece, come))
                        come.add(piece)
                    for piece in new:
                        given.add(piece)
                    yield new
            except TimeoutError:
                raise Unavailable("a service did not answer in time") from None
            except _lost() as error:
                if attempt == ATTEMPTS - 1:
                    raise Unavailable(_line(error)) from None
            finally:
                answers.cancel()

    async def _call(self, call: Callable[[], Any]) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    return await call()
            except TimeoutError:
                raise Unavailable("a service did not answer in time") from None
            except _lost() as error:
                if attempt == ATTEMPTS - 1:
                    raise Unavailable(_line(error)) from None
        raise AssertionError


def _lost() -> tuple[type[Exception], ...]:
    """Return the errors of a service that is gone, or that refuses work for now."""
    if "ray" not in sys.modules:
        return ()
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    return RayError, RayServeException


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def sound_of(pieces: list[ReplyPiece]) -> np.ndarray:
    """Return the sound of pieces, float32 (samples,)."""
    return torch.cat([torch.zeros(0), *(piece.audio for piece in pieces)]).numpy()
