"""The service that makes replies: text and codes, for many conversations at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import torch

from wavemill.model.assistant import Message, ReplyPiece, read_aloud_settings
from wavemill.model.detokenizer.layout import has_detokenizer
from wavemill.model.engine import Engine, ReplyStep
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import NoRoom
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Format, LayoutError, TokenMessage, Vocabulary, read_aloud
from wavemill.model.prompt.text import TextStream, load_text_tokenizer
from wavemill.serve.config import ServeConfig
from wavemill.serve.parts.asked import Answer, Asked, Begun, Facts, Refused
from wavemill.serve.parts.engine_loop import EngineLoop
from wavemill.serve.parts.loading import dtype_of, prepared

SPEECH_RATE = 24_000  # Hz; of every detokenizer of the published layout
SILENCE = torch.zeros(0)


class Llm:
    """A replica: one engine. Conversations join its batch and leave it."""

    def __init__(self, config: ServeConfig) -> None:
        folder = prepared(config)
        network = AudioLlm.from_pretrained(folder, config.device, dtype_of(config))
        self._config = network.config
        self._text = load_text_tokenizer(folder, network.config.text_vocab)
        self._vocabulary = Vocabulary(network.config.text_vocab, network.config.audio_offset)
        self._loop = EngineLoop(Engine(network, config.rows))
        self._speaks = config.detokenizer is not None or has_detokenizer(folder)

    async def facts(self) -> Facts:
        """Return what the gateway has to know."""
        return Facts(self._speaks, SPEECH_RATE, self._config.audio_delay)

    async def rows(self) -> int:
        """Return how many replies are in the making."""
        return self._loop.rows

    async def reply(self, asked: Asked) -> AsyncIterator[Answer]:
        """Yield a reply without sound: text, its ids, and codes."""
        settings = asked.settings
        if asked.aloud is not None:
            settings = read_aloud_settings(settings)
        try:
            prompt, left_out = self._prompt(asked)
            yield Begun(len(prompt.audio_ids), left_out)
            text = TextStream(self._text)
            async with aclosing(self._loop.stream(prompt, settings)) as found:
                async for steps in found:
                    yield [self._piece(step, text) for step in steps]
            yield [ReplyPiece(text.rest(), SILENCE, steps[-1].stopped)]
        except NoRoom as error:
            yield Refused("context_length_exceeded", str(error))
        except (LayoutError, ValueError) as error:
            yield Refused("invalid_value", str(error))

    def _piece(self, step: ReplyStep, text: TextStream) -> ReplyPiece:
        # The text head may also choose special ids, which are no text.
        ids = (step.text,) if step.text is not None and step.text < self._config.text_vocab else ()
        codes = () if step.code is None else (step.code,)
        return ReplyPiece("".join(map(text.push, ids)), SILENCE, step.stopped, ids, codes)

    def _prompt(self, asked: Asked) -> tuple[LlmPrompt, int]:
        """Return the prompt, and how many messages were left out of it; raises LayoutError."""
        if asked.aloud is not None:
            return LlmPrompt.of(read_aloud(asked.aloud, self._vocabulary)), 0
        longest = min(asked.settings.longest, self._config.max_position_embeddings)
        form = Format(self._vocabulary, delay=self._config.audio_delay)
        messages, left_out = list(asked.messages), 0
        while True:
            layout = form.layout([_tokens(m) for m in messages], asked.settings.reply)
            if len(layout) + asked.least_room <= longest or len(messages) == 1:
                break
            left_out += 1
            messages = messages[1:]
        room = longest - len(layout)
        if room < 1:
            raise NoRoom(f"the last message alone has {len(layout)} tokens of {longest}")
        features = [m.features for m in messages if m.features is not None]
        return LlmPrompt.of(layout, features), left_out


def _tokens(message: Message) -> TokenMessage:
    assert message.tokens is not None
    return message.tokens
