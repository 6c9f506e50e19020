"""What passes between the gateway and the services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavemill.model.assistant import Message, ReplyPiece
from wavemill.model.generate.settings import GenerateSettings


@dataclass(frozen=True)
class Asked:
    """A reply that somebody wants: to a conversation, or a text that is to be read aloud."""

    messages: Sequence[Message]  # each has its tokens
    settings: GenerateSettings
    least_room: int  # steps for the reply; the oldest messages are left out until there are
    aloud: tuple[int, ...] | None = None  # text ids, in place of messages
    voice: str | None = None


@dataclass(frozen=True)
class Begun:
    """The first answer: the reply has been taken in, and is about to be made."""

    positions: int  # of the prompt
    left_out: int  # messages


@dataclass(frozen=True)
class Refused:
    """The only answer, where a reply cannot be made as it was asked for."""

    code: str
    message: str


# A stream of a reply: Begun, then pieces, as many at a time as there are. Or Refused.
Answer = Begun | Refused | list[ReplyPiece]


@dataclass(frozen=True)
class Facts:
    """What the gateway has to know of the model."""

    speaks: bool
    rate: int  # Hz, of its speech
    delay: int  # steps from a text to its audio
