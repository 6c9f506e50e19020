"""A conversation as the server keeps it: items in order, each as tokens."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from wavemill.model.assistant import Message
from wavemill.model.prompt.layout import Role, TokenMessage

TOKEN_MS = 80  # of speech
ORDER = "order"  # the name under which a store has the ids of the items
OWNER = "owner"  # the same of the key's hash
Speaker = Literal["user", "assistant", "system"]
Status = Literal["completed", "incomplete", "in_progress"]


def new_id(kind: str) -> str:
    """Return an id that nobody can guess."""
    return f"{kind}_{secrets.token_urlsafe(16)}"


@dataclass
class Item:
    """What one side said. Texts of spoken replies are their transcripts."""

    id: str
    role: Speaker
    text: str | None = None  # None: of a user's speech, no transcript is known
    spoken: bool = False
    text_ids: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()  # 12.5 a second
    features: Tensor | None = None  # of the user's speech, (rows, width)
    status: Status = "completed"

    def message(self, delay: int) -> Message | None:
        """Return it as the LLM reads it; None: there is nothing in it.

        `delay` is in steps: beside codes, there is room for so many more text ids.
        """
        role = Role.ASSISTANT if self.role == "assistant" else Role.USER
        if self.codes and role is Role.ASSISTANT:
            text = self.text_ids[: delay + len(self.codes)]
            return Message(role, tokens=TokenMessage(role, text, self.codes))
        if self.codes:
            tokens = TokenMessage(role, None, self.codes)
            return Message(role, tokens=tokens, features=self.features)
        if self.text_ids:
            return Message(role, tokens=TokenMessage(role, self.text_ids))
        return None

    @property
    def audio_ms(self) -> int:
        return len(self.codes) * TOKEN_MS

    def truncate(self, audio_end_ms: int) -> None:
        """Keep what was heard of a spoken reply, and of its text as large a part."""
        kept = min(len(self.codes), -(-audio_end_ms // TOKEN_MS))
        if kept == len(self.codes):
            return
        share = kept / len(self.codes)
        self.codes = self.codes[:kept]
        self.text_ids = self.text_ids[: round(len(self.text_ids) * share)]
        if self.text is not None:
            self.text = self.text[: round(len(self.text) * share)]

    def to_bytes(self) -> bytes:
        """Return what a store keeps: a header in JSON, then the features as they are in memory."""
        header: dict[str, Any] = {
            "id": self.id,
            "role": self.role,
            "text": self.text,
            "spoken": self.spoken,
            "text_ids": self.text_ids,
            "codes": self.codes,
            "status": self.status,
        }
        body = b""
        if self.features is not None:
            header["features"] = [str(self.features.dtype)[6:], list(self.features.shape)]
            body = self.features.contiguous().view(torch.uint8).numpy().tobytes()
        head = json.dumps(header).encode()
        return len(head).to_bytes(4, "big") + head + body

    @classmethod
    def from_bytes(cls, content: bytes) -> Item:
        """Read what `to_bytes` returned."""
        end = 4 + int.from_bytes(content[:4], "big")
        header = json.loads(content[4:end])
        features = None
        if (form := header.pop("features", None)) is not None:
            raw = torch.from_numpy(np.frombuffer(content[end:], np.uint8).copy())
            features = raw.view(getattr(torch, form[0])).reshape(form[1])
        header |= {name: tuple(header[name]) for name in ("text_ids", "codes")}
        return cls(**header, features=features)


@dataclass
class Conversation:
    """Items in order. What changes is noted, so that a store is told of that alone."""

    id: str
    items: list[Item] = field(default_factory=list)
    changed: dict[str, bytes | None] = field(default_factory=dict)  # for the store; None: removed
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)  # changes are stored in their order

    def find(self, item_id: str) -> Item | None:
        return next((item for item in self.items if item.id == item_id), None)

    def before(self, item: Item) -> str | None:
        """Return the id of the item that stands before another."""
        place = self.items.index(item)
        return self.items[place - 1].id if place else None

    def add(self, item: Item, after: str | None = None) -> None:
        """Put an item behind another, or at the start (`root`), or at the end (None)."""
        place = len(self.items)
        if after == "root":
            place = 0
        elif after is not None:
            place = [one.id for one in self.items].index(after) + 1
        self.items.insert(place, item)
        self.touch(item)

    def touch(self, item: Item) -> None:
        """Note that an item is new or has changed."""
        self.changed[item.id] = item.to_bytes()
        self._note_order()

    def remove(self, item: Item) -> None:
        self.items.remove(item)
        self.changed[item.id] = None
        self._note_order()

    def messages(self, delay: int) -> Iterator[Message]:
        """Yield what the LLM reads."""
        for item in self.items:
            if (message := item.message(delay)) is not None:
                yield message

    def _note_order(self) -> None:
        self.changed[ORDER] = json.dumps([item.id for item in self.items]).encode()

    @classmethod
    def stored(cls, id_: str, content: dict[str, bytes]) -> Conversation:
        """Return a conversation as a store has it."""
        order = json.loads(content.get(ORDER, b"[]"))
        items = [Item.from_bytes(content[name]) for name in order if name in content]
        return cls(id_, items)
