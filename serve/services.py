"""What all sessions and requests of a gateway share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavemill.model.assistant import Message, ReplyPiece
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.prompt.layout import Reply, Role, TokenMessage
from wavemill.serve.config import ServeConfig
from wavemill.serve.conversation import OWNER, Conversation, Item, new_id
from wavemill.serve.gateway.backend import Backend
from wavemill.serve.gateway.fair import FairPlaces, Full
from wavemill.serve.gateway.metrics import Metrics
from wavemill.serve.parts.asked import Asked, Begun, Facts
from wavemill.serve.store.interface import Store


@dataclass
class Services:
    """The model's services, the store, and the places."""

    config: ServeConfig
    backend: Backend
    facts: Facts
    voices: tuple[str, ...]
    store: Store
    metrics: Metrics
    vad: Any  # of `open_session`
    places: FairPlaces
    sessions: Counter[str] = field(default_factory=Counter)  # that are open, by owner
    _ids: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of short texts that recur

    @contextmanager
    def session(self, owner: str) -> Iterator[None]:
        """Count a session while it is open; raises Full."""
        limits = self.config.limits
        if self.sessions.total() >= limits.sessions:
            raise Full(f"{limits.sessions} sessions are open, and no more are allowed")
        if self.sessions[owner] >= limits.sessions_per_key:
            raise Full(f"{limits.sessions_per_key} sessions of this key are open")
        self.sessions[owner] += 1
        self.metrics.sessions.set(self.sessions.total())
        try:
            yield
        finally:
            self.sessions[owner] -= 1
            self.metrics.sessions.set(self.sessions.total())

    async def reply(
        self, owner: str, asked: Asked
    ) -> AsyncGenerator[Begun | list[ReplyPiece], None]:
        """Yield a reply, once there is a place for it. Raises Full and what `Backend` does."""
        async with self.places.place(owner), aclosing(self.backend.reply(asked)) as answers:
            async for answer in answers:
                yield answer

    async def written(self, role: str, text: str) -> Item:
        """Return a text as an item of a conversation."""
        ids = await self.text_ids(text)
        return Item(new_id("item"), role, text=text, text_ids=ids)  # type: ignore[arg-type]

    async def heard(self, sound: np.ndarray, item_id: str | None = None) -> Item:
        """Return a user's speech, float32 (samples,) at 16 kHz, as an item."""
        codes, features = await self.backend.sound(sound)
        made = item_id or new_id("item")
        return Item(made, "user", spoken=True, codes=codes, features=features)

    async def text_ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text; of one that recurs, such as instructions, from memory."""
        if text not in self._ids:
            found = await self.backend.text(text)
            if len(self._ids) >= 256:
                self._ids.clear()
            self._ids[text] = found
        return self._ids[text]

    async def instructed(self, instructions: str, messages: Sequence[Message]) -> list[Message]:
        """Return messages behind instructions, which the model reads as a user's text."""
        if not instructions:
            return list(messages)
        ids = await self.text_ids(instructions)
        return [Message(Role.USER, tokens=TokenMessage(Role.USER, ids)), *messages]

    def asked(
        self, messages: Sequence[Message], settings: GenerateSettings, voice: str | None = None
    ) -> Asked:
        """Return what the services are asked for."""
        return Asked(messages, settings, self.config.answers.least_room, voice=voice)

    async def transcript(self, owner: str, item: Item, prompt: str | None = None) -> str:
        """Return what is said in an item, by the model. Raises what `reply` does."""
        message = item.message(self.facts.delay)
        if message is None:
            return ""
        messages = await self.instructed(prompt or self.config.transcribe, [message])
        settings = self.config.generate(reply=Reply.TEXT)
        text = []
        async with aclosing(self.reply(owner, self.asked(messages, settings))) as answers:
            async for answer in answers:
                if isinstance(answer, list):
                    text += [piece.text for piece in answer]
        return "".join(text).strip()

    async def load(self, owner: str, conversation: str) -> Conversation | None:
        """Return a kept conversation of this owner, or None."""
        content = await asyncio.to_thread(self.store.read, conversation)
        if content.get(OWNER) != owner.encode():
            return None
        return Conversation.stored(conversation, content)

    async def save(self, owner: str, conversation: Conversation) -> None:
        """Keep what has changed of a conversation."""
        async with conversation.saving:
            changed, conversation.changed = conversation.changed, {}
            changed[OWNER] = owner.encode()
            await asyncio.to_thread(self.store.write, conversation.id, changed)
