"""The bundled engine: markup removed, everything that is not a word written as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wavemill.stages.conversation import Message
from wavemill.stages.engine import EngineConfig, package_identity
from wavemill.stages.rewrite.engine import RewriteEngine
from wavemill.stages.rewrite.markdown import plain
from wavemill.stages.rewrite.words import has_words, spoken


class Rules(RewriteEngine[EngineConfig]):
    """English alone; the wording stays as it is."""

    name = "rules"
    version = 1
    packages = ("num2words",)
    extra = "speak"

    def weights_identity(self) -> str:
        return package_identity("num2words")

    def load(self, device: str) -> None:
        del device

    def rewrite(self, messages: Sequence[Message]) -> list[Message]:
        said = [spoken(plain(message.text)) for message in messages]
        return [
            replace(message, text=text if has_words(text) else "")
            for message, text in zip(messages, said, strict=True)
        ]
