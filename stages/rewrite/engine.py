"""What a rewrite engine is given and what it returns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from wavemill.stages.conversation import Message
from wavemill.stages.engine import C, Engine


class NotRewritten(Exception):
    """A conversation could not be rewritten; `passing`: it may be later (a server is down)."""

    def __init__(self, reason: str, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.passing = passing


class RewriteEngine(Engine[C]):
    """Makes written messages into what people say: words alone, no markup, digits or symbols."""

    @abstractmethod
    def rewrite(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages of one conversation as they are spoken, roles taking turns.

        There may be fewer or more of them than were given, counted anew. A message of which
        nothing can be said has an empty text. Raises NotRewritten.
        """
