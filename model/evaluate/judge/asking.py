"""What a judge is asked and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class JudgePrompt:
    """One question to the judge."""

    user: str
    system: str = ""
    temperature: float = 0.0
    max_tokens: int = 1024

    def body(self, model: str) -> dict[str, object]:
        """Return the request of the chat completions API."""
        messages = [{"role": "user", "content": self.user}]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        return {
            "model": model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def digest(self, model: str) -> str:
        """Return the SHA-256 (hex) of everything that the reply depends on."""
        content = json.dumps(self.body(model), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class JudgeReply:
    """What the judge wrote, or why it did not."""

    text: str | None
    error: str = ""
    cached: bool = False


class Judge(Protocol):
    """Whoever judges."""

    model: str

    def ask(self, prompts: Sequence[JudgePrompt]) -> list[JudgeReply]:
        """Return one reply for each prompt, in order; a failed one has no text but an error."""
        ...
