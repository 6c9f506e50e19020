"""How to reply: settings, and how many steps they allow."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from wavemill.model.prompt.layout import Reply

GREEDY_BELOW = 1e-6  # temperatures up to here take the best token


class Sampling(BaseModel):
    """How the tokens of a stream are drawn; by default the best token is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(0.0, ge=0)
    top_k: int = Field(5, ge=0)  # draw among so many; 0: among all
    repetition_penalty: float = Field(1.0, ge=0)  # of tokens seen lately; up to 1: none
    repetition_window: int = Field(64, ge=1)  # tokens back; no penalty until there are more

    @property
    def draws(self) -> bool:
        return self.temperature > GREEDY_BELOW

    @property
    def penalises(self) -> bool:
        return self.repetition_penalty > 1.0


class GenerateSettings(BaseModel):
    """How to reply; the defaults are the published ones, except for the limits.

    The published code ignores `max_new_tokens` for spoken replies, and silently cuts replies of
    more than 4096 tokens. Here limits hold, and a prompt that leaves no room is an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reply: Reply = Reply.TEXT
    # With `Reply.BOTH`: only speech, without delay. For prompts of `read_aloud`, which already
    # contain the text.
    audio_only: bool = False
    audio: Sampling = Sampling()
    text: Sampling = Sampling(repetition_window=16)
    max_new_tokens: int | None = Field(None, ge=1)  # steps; None: up to `longest`
    longest_text: int = Field(7500, ge=2)  # tokens of prompt and reply, for text replies
    longest_both: int = Field(1500, ge=2)  # the same, for text with speech
    seed: int = 0

    @property
    def longest(self) -> int:
        return self.longest_text if self.reply is Reply.TEXT else self.longest_both


class NoRoom(ValueError):
    """A prompt and its reply would be longer than allowed; the message says by how much."""


def budget(prompt: int, settings: GenerateSettings, positions: int) -> int:
    """Return how many steps may follow a prompt of `prompt` tokens in a model of `positions`.

    Raises NoRoom when there is room for none, or for fewer than `max_new_tokens`.
    """
    longest = min(settings.longest, positions)
    steps = longest - prompt if settings.max_new_tokens is None else settings.max_new_tokens
    if steps < 1:
        raise NoRoom(f"a prompt of {prompt} tokens leaves no room for a reply within {longest}")
    if prompt + steps > positions:
        raise NoRoom(
            f"{prompt} tokens of prompt and {steps} of reply exceed "
            f"the model's {positions} positions"
        )
    return steps
