"""What a tokenizer of text is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from wavemill.stages.engine import C, Engine


class TextTokenizeEngine(Engine[C]):
    """Turns text into the ids of a text tokenizer."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Ids are from 0 to vocab_size - 1, special tokens included; needs `load`."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text; what looks like a special token is plain text."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`."""
