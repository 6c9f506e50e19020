"""The messages of a written conversation, as the stages that work on it see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wavemill.manifests.recording import MessageOf, Recording

Speaker = Literal["user", "assistant"]
DIGITS = 12


@dataclass(frozen=True, slots=True)
class Message:
    """What a user or the assistant writes; `index` counts the messages that are spoken."""

    index: int
    role: Speaker
    text: str


def messages_of(recording: Recording) -> list[Message]:
    """Return the messages that are spoken, in order: user, assistant, user, ..."""
    spoken = [item for item in recording.items if item.task != MessageOf.SYSTEM]
    return [
        Message(index, "user" if item.task == MessageOf.USER else "assistant", item.text or "")
        for index, item in enumerate(spoken)
    ]


def system_of(recording: Recording) -> str | None:
    """Return the message of the system, which nobody speaks."""
    return next((i.text for i in recording.items if i.task == MessageOf.SYSTEM), None)


def clip_id(dialogue_id: str, index: int, *said: Any) -> str:
    """Return the id of a message that is said in one way: it depends on all that decides the clip.

    So a clip that was spoken stays valid while its text, voice and way of speaking do.
    """
    return f"{dialogue_id}-{index}-{digest_of(said)}"


def role_of(clip_id: str) -> Speaker:
    """Return who says a clip: roles take turns, and the user begins."""
    return "assistant" if int(clip_id.split("-")[1]) % 2 else "user"


def digest_of(values: Sequence[Any]) -> str:
    """Return a short hash of JSON values."""
    text = json.dumps(list(values), separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def drawn(*names: Any) -> float:
    """Return a number in [0, 1) that depends on `names` alone: a hash of them."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2.0**48
