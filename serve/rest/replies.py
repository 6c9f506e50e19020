"""Replies of one request: collected, or piece by piece."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from wavemill.serve.audio.formats import Samples
from wavemill.serve.conversation import Item, new_id
from wavemill.serve.gateway.backend import sound_of
from wavemill.serve.parts.asked import Asked, Begun
from wavemill.serve.services import Services


@dataclass
class Taken:
    """A reply so far."""

    spoken: bool
    item: Item = field(init=False)
    prompt: int = 0  # tokens
    complete: bool = False
    sound: list[Samples] = field(default_factory=list)
    first_at: float | None = None

    def __post_init__(self) -> None:
        self.item = Item(new_id("audio"), "assistant", "", self.spoken)

    def whole(self) -> Samples:
        return np.concatenate([np.zeros(0, np.float32), *self.sound])


async def taken(
    services: Services, owner: str, asked: Asked, reply: Taken
) -> AsyncIterator[tuple[str, Samples]]:
    """Yield the text and the sound that each step adds, and note all of it in `reply`.

    At the end, the turn is counted and logged. Raises what `Services.reply` does.
    """
    began, item, status = time.monotonic(), reply.item, "cancelled"
    try:
        async with aclosing(services.reply(owner, asked)) as answers:
            async for answer in answers:
                if isinstance(answer, Begun):
                    reply.prompt = answer.positions
                    continue
                text = "".join(piece.text for piece in answer)
                sound = sound_of(answer)
                item.text = (item.text or "") + text
                item.text_ids += tuple(id_ for piece in answer for id_ in piece.text_ids)
                item.codes += tuple(code for piece in answer for code in piece.codes)
                reply.complete = answer[-1].complete
                if len(sound):
                    reply.first_at = reply.first_at or time.monotonic()
                    reply.sound.append(sound)
                if text or len(sound):
                    yield text, sound
        status = "completed" if reply.complete else "incomplete"
    except Exception:
        status = "failed"
        raise
    finally:
        first = None if reply.first_at is None else round(reply.first_at - began, 4)
        services.metrics.turn(
            {
                "response": item.id,
                "status": status,
                "first_audio_s": first,
                "total_s": round(time.monotonic() - began, 4),
                "prompt_tokens": reply.prompt,
                "text_tokens": len(item.text_ids),
                "audio_tokens": len(item.codes),
            }
        )
