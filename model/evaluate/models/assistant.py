"""This project's own model, as one that can be evaluated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from wavemill.model.assistant import Assistant, Message
from wavemill.model.detokenizer.history import History
from wavemill.model.evaluate.models.answering import Answer, ModelError, ModelInput, Speech
from wavemill.model.evaluate.recipes.recipe import Decoding, Recipe, RecipeError
from wavemill.model.evaluate.sound import decoded
from wavemill.model.generate.settings import GenerateSettings, Sampling
from wavemill.model.io.folders import WeightsError
from wavemill.model.prompt.layout import Reply, Role


class AssistantModel:
    """An `Assistant` folder or hub id. An answer does not depend on what it is asked with.

    Text answers are made together, and spoken ones singly, since their times are measured.
    """

    def __init__(
        self,
        source: str,
        recipe: Recipe,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        semantic: str | None = None,
        speaks: bool = False,
        voice: Path | None = None,
        seed: int = 0,
        detokenizer: str | None = None,
    ) -> None:
        """`voice` is a WAV, FLAC, OGG or MP3 file of the voice to speak with.

        `detokenizer`, a folder or hub id, speaks in place of the model's own.

        Raises ModelError, and RecipeError for a recipe that this model cannot follow.
        """
        self.settings = settings_for(recipe.decoding, speaks, seed)
        if recipe.as_is:
            raise RecipeError(f"recipe {recipe.name!r}: `as_is` is not for this project's model")
        self._text_first = recipe.text_first
        try:
            self._assistant = Assistant.from_pretrained(
                source, device, dtype, semantic, speaks, detokenizer if speaks else None
            )
        except WeightsError as error:
            raise ModelError(str(error)) from None
        self._voice: History | None = None
        if voice is not None and speaks:
            self._take_voice(voice)

    def _take_voice(self, path: Path) -> None:
        assert self._assistant.detokenizer is not None
        rate = self._assistant.detokenizer.config.vocoder.sampling_rate
        try:
            content = path.read_bytes()
            self._voice = self._assistant.voice(decoded(content), decoded(content, rate))
        except (OSError, ValueError) as error:
            raise ModelError(f"--voice: {path}: {error}") from None

    def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
        if self.settings.reply is Reply.BOTH:
            return [self._spoken(one) for one in asked]
        begun = time.perf_counter()
        model = self._assistant
        prompts = [model.prompt(self._messages(one), Reply.TEXT) for one in asked]
        results = model.engine.replies(prompts, self.settings)
        seconds = (time.perf_counter() - begun) / len(asked)
        vocabulary = model.llm.config.text_vocab
        return [
            Answer(
                model.text.decode([i for i in result.text if i < vocabulary]),
                complete=result.complete,
                seconds=seconds,
            )
            for result in results
        ]

    def _messages(self, one: ModelInput) -> list[Message]:
        words = [Message(Role.USER, text=text) for text in (one.system, one.prompt) if text]
        sound = [] if one.audio is None else [Message(Role.USER, audio=one.audio)]
        return [*words, *sound] if self._text_first else [*sound, *words]

    def _spoken(self, one: ModelInput) -> Answer:
        assert self._assistant.detokenizer is not None
        rate = self._assistant.detokenizer.config.vocoder.sampling_rate
        begun = time.perf_counter()
        text, sounds, first, complete = "", [], None, False
        for piece in self._assistant.reply(self._messages(one), self.settings, self._voice):
            text += piece.text
            complete = piece.complete
            if len(piece.audio):
                sounds.append(piece.audio)
                first = time.perf_counter() - begun if first is None else first
        seconds = time.perf_counter() - begun
        speech = None
        if first is not None:
            speech = Speech(torch.cat(sounds).float().numpy(), rate, first)
        return Answer(text, complete=complete, seconds=seconds, speech=speech)


def settings_for(decoding: Decoding, speaks: bool = False, seed: int = 0) -> GenerateSettings:
    """Return a recipe's decoding as settings of the engine; raises RecipeError if it has none."""
    if decoding.top_p is not None:
        raise RecipeError("decoding.top_p: this project's model draws by top_k only")
    defaults = GenerateSettings()
    window = decoding.repetition_window or defaults.text.repetition_window
    return GenerateSettings(
        reply=Reply.BOTH if speaks else Reply.TEXT,
        text=Sampling(
            temperature=decoding.temperature or 0.0,
            top_k=defaults.text.top_k if decoding.top_k is None else decoding.top_k,
            repetition_penalty=decoding.repetition_penalty,
            repetition_window=window,
        ),
        audio=Sampling(temperature=decoding.audio_temperature, top_k=decoding.audio_top_k),
        max_new_tokens=decoding.max_new_tokens,
        seed=seed,
    )
