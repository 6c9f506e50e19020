"""A model that takes audio in any form that a person has it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wavemill.pipeline.library.sound import waveform

if TYPE_CHECKING:
    import torch

    from wavemill.model import assistant
    from wavemill.model.detokenizer.history import History

TRANSCRIBE = "Transcribe this audio."
AUDIO_TEMPERATURE, AUDIO_TOP_K = 0.8, 10  # speech of the best tokens alone is monotonous


class Assistant:
    """A model of this project: transcribes, answers, and speaks where it has a detokenizer.

    Every `audio` is what `wavemill.waveform` takes: a path, bytes, an array or a tensor with its
    rate, of any rate and number of channels.
    """

    def __init__(self, model: assistant.Assistant, device: str = "cpu") -> None:
        self.model = model  # all parts, for work below this level
        self._device = device

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        semantic: str | os.PathLike[str] | None = None,
        speaks: bool | None = None,
        detokenizer: str | os.PathLike[str] | None = None,
    ) -> Assistant:
        """Load a model from a folder or a hub id ("owner/name").

        `dtype` (None: as stored) is that of the LLM and the acoustic encoder. `semantic` is the
        semantic tokenizer and `detokenizer` the detokenizer, where the folder has none or another
        is wanted. `speaks` False leaves the detokenizer out; None takes one where there is one.
        Raises WeightsError.
        """
        from wavemill.model import assistant

        loaded = assistant.Assistant.from_pretrained(
            os.fspath(source),
            device,
            dtype,
            None if semantic is None else os.fspath(semantic),
            speaks,
            None if detokenizer is None else os.fspath(detokenizer),
        )
        return cls(loaded, device)

    def transcribe(
        self,
        audio: Any,
        sample_rate: int | None = None,
        instruction: str = TRANSCRIBE,
        max_new_tokens: int | None = None,
    ) -> str:
        """Return what is said in a recording, which has to fit the model's context as a whole.

        `sample_rate` in Hz is needed for an array or a tensor. `instruction` is what the model
        learnt to be asked. Raises AudioError, and NoRoom for a recording that is too long.
        """
        pieces = self.reply(
            [
                {"role": "user", "text": instruction},
                {"role": "user", "audio": audio, "sample_rate": sample_rate},
            ],
            max_new_tokens=max_new_tokens,
        )
        return "".join(piece.text for piece in pieces)

    def reply(
        self,
        messages: Sequence[Mapping[str, Any] | assistant.Message],
        output: Literal["text", "both"] = "text",
        voice: Any = None,
        **settings: Any,
    ) -> Iterator[assistant.ReplyPiece]:
        """Yield the reply to a conversation, piece by piece, while it is made.

        A message is a mapping with `role` ("user" or "assistant") and `text` or `audio` (with
        `sample_rate` where it is an array); the assistant's may have both. It can also be a
        `wavemill.model.assistant.Message`: those that `model.tokenised` and `replied` give hold
        tokens, so that a conversation goes on without encoding it anew. With `output` "both" the
        pieces have `audio` as well, float32 at `output_rate`. `voice` is audio of someone to sound
        like, 3 to 15 s. Further settings are fields of `GenerateSettings`, such as
        max_new_tokens=100 or seed=1. By default text takes the best token of each step, and audio
        is drawn as `wavemill generate` draws it.

        Raises AudioError, LayoutError for a conversation that makes no sense, NoRoom for one that
        is too long, and ValueError where speech is wanted of a model without a detokenizer.
        """
        from wavemill.model.assistant import Message
        from wavemill.model.prompt.layout import Role

        heard = [
            message
            if isinstance(message, Message)
            else Message(Role(message["role"]), message.get("text"), _heard(message))
            for message in messages
        ]
        how = self._settings(output, settings)
        return self.model.reply(heard, how, None if voice is None else self._voice(voice))

    def say(self, text: str, voice: Any = None, **settings: Any) -> Iterator[assistant.ReplyPiece]:
        """Yield a text read aloud, for a model that learnt the task tts. Raises as `reply` does."""
        how = self._settings("both", settings)
        return self.model.say(text, how, None if voice is None else self._voice(voice))

    @property
    def output_rate(self) -> int | None:
        """Return the rate of the model's speech in Hz; None where it cannot speak."""
        detokenizer = self.model.detokenizer
        return None if detokenizer is None else detokenizer.config.vocoder.sampling_rate

    def _voice(self, audio: Any) -> History:
        if self.output_rate is None:
            raise ValueError("a voice needs the detokenizer")
        return self.model.voice(waveform(audio), waveform(audio, rate=self.output_rate))

    def _settings(self, output: str, given: Mapping[str, Any]) -> Any:
        from wavemill.model.generate.settings import GenerateSettings, Sampling
        from wavemill.model.prompt.layout import Reply

        defaults = {
            "reply": Reply(output),
            "audio": Sampling(temperature=AUDIO_TEMPERATURE, top_k=AUDIO_TOP_K),
        }
        return GenerateSettings(**{**defaults, **given})


def _heard(message: Mapping[str, Any]) -> np.ndarray | None:
    audio = message.get("audio")
    return None if audio is None else waveform(audio, message.get("sample_rate"))
