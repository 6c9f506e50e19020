"""All parts of the model together: a conversation of text and audio in, a reply out.

A reply passes through four files: this one (messages to a prompt, tokens to pieces of text and
audio), `prompt/layout.py` (the two token streams of a conversation), `engine.py` (step by step, for
many conversations at once) and `llm/network.py` (one forward pass). Each other part is one call:
`encode` of the semantic tokenizer, `features` of the acoustic encoder, `encode` and `decode` of the
text tokenizer, `push` of the detokenizer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.layout import has_detokenizer
from wavemill.model.engine import Engine
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.io.folders import resolve
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import (
    Format,
    LayoutError,
    Reply,
    Revision,
    Role,
    TokenMessage,
    Vocabulary,
    read_aloud,
)
from wavemill.model.prompt.text import TextStream, TextTokenizer, load_text_tokenizer
from wavemill.model.tokenizer import kmeans
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.kmeans import KMeansTokenizer
from wavemill.model.tokenizer.semantic import SemanticTokenizer

ACOUSTIC_FOLDER = "whisper-large-v3"
SEMANTIC_FOLDER = "glm-4-voice-tokenizer"  # published as a repository of its own
SEMANTIC_SOURCE = "THUDM/glm-4-voice-tokenizer"


@dataclass(frozen=True)
class Message:
    """What one role says: text, or audio, or (only the assistant) both."""

    role: Role
    text: str | None = None
    audio: np.ndarray | None = None  # float32 (samples,), mono, 16 kHz
    # What text and audio are for the LLM, from `Assistant.tokenised` or `replied`. A message that
    # has them is read as it is: nothing is tokenised anew.
    tokens: TokenMessage | None = None
    features: Tensor | None = None  # of audio alone, float (rows, feature_width)


@dataclass(frozen=True)
class ReplyPiece:
    """What one step adds to a reply; text and audio may be empty."""

    text: str
    audio: Tensor  # float32 (samples,) at the detokenizer's rate
    complete: bool  # the reply ended by itself in this step
    text_ids: tuple[int, ...] = ()  # of the text tokenizer
    codes: tuple[int, ...] = ()  # semantic codes, counted from 0


def replied(pieces: Iterable[ReplyPiece]) -> Message:
    """Return a reply as a message of the conversation that goes on, with the tokens that it has.

    Raises LayoutError for a reply of neither text nor speech.
    """
    taken = list(pieces)
    text = tuple(id_ for piece in taken for id_ in piece.text_ids)
    codes = tuple(code for piece in taken for code in piece.codes)
    if not text and not codes:
        raise LayoutError("there is neither text nor speech in the reply")
    return Message(
        Role.ASSISTANT,
        "".join(piece.text for piece in taken),
        tokens=TokenMessage(Role.ASSISTANT, text, codes or None),
    )


@dataclass
class Assistant:
    """The parts of a model folder."""

    llm: AudioLlm
    text: TextTokenizer
    semantic: SemanticTokenizer | KMeansTokenizer
    acoustic: AcousticEncoder
    detokenizer: Detokenizer | None = None  # only speech needs it
    revision: Revision = Revision.JUNE

    @cached_property
    def engine(self) -> Engine:
        """All replies are made here, those that are asked for at the same time together."""
        return Engine(self.llm)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        semantic: str | Path | None = None,
        speaks: bool | None = None,
        detokenizer: str | Path | None = None,
    ) -> Assistant:
        """Read a model in the published layout from a folder or a hub id.

        `semantic` is the semantic tokenizer, a folder or a hub id; by default it is the folder's
        own, or the published one from the hub. `detokenizer`, a folder or a hub id, replaces the
        folder's own. `dtype` (None: as stored) applies to the LLM and the acoustic encoder;
        tokenizer and detokenizer run in float32. `speaks` says whether to load a detokenizer;
        None loads one if there is one (a freshly trained model has none and replies in text).
        Raises WeightsError.
        """
        folder = resolve(source)
        if speaks is None:
            speaks = detokenizer is not None or has_detokenizer(folder)
        llm = AudioLlm.from_pretrained(folder, device, dtype)
        return cls(
            llm=llm,
            text=load_text_tokenizer(folder, llm.config.text_vocab),
            semantic=semantic_tokenizer(folder, semantic, device),
            acoustic=AcousticEncoder.from_pretrained(folder / ACOUSTIC_FOLDER, device, dtype),
            detokenizer=(
                Detokenizer.from_pretrained(detokenizer or folder, device) if speaks else None
            ),
        )

    def prompt(self, messages: Sequence[Message], reply: Reply) -> LlmPrompt:
        """Return a conversation as the LLM reads it; raises LayoutError."""
        known = self.tokenised(messages)
        form = Format(self._vocabulary, self.revision, self.llm.config.audio_delay)
        layout = form.layout([m.tokens for m in known if m.tokens is not None], reply)
        return LlmPrompt.of(layout, [m.features for m in known if m.features is not None])

    def tokenised(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages with their tokens and features; those that have them as they are.

        A conversation that goes on is kept so, and each message is encoded once.
        """
        new = [message for message in messages if message.tokens is None]
        codes = iter(self.semantic.encode([m.audio for m in new if m.audio is not None]))
        # Audio that is spoken together with text has codes, but no acoustic features.
        sounds = [m.audio for m in new if m.audio is not None and m.text is None]
        with torch.inference_mode():
            features = iter([rows.cpu() for rows in self.acoustic.features(sounds)])
        return [
            message
            if message.tokens is not None
            else replace(
                message,
                tokens=TokenMessage(
                    message.role,
                    None if message.text is None else tuple(self.text.encode(message.text)),
                    None if message.audio is None else tuple(next(codes).tolist()),
                ),
                features=(
                    None if message.audio is None or message.text is not None else next(features)
                ),
            )
            for message in messages
        ]

    def text_prompt(self, text: str, reference: TokenMessage | None = None) -> LlmPrompt:
        """Return the prompt to read a text aloud, as in pre-training; raises LayoutError.

        With a `reference`, it is read in the voice of who said that.
        """
        return LlmPrompt.of(read_aloud(self.text.encode(text), self._vocabulary, reference))

    def reference(self, heard: np.ndarray, said: str) -> TokenMessage:
        """Return a recording, float32 (samples,) mono at 16 kHz, and its words as a reference.

        3 to 10 seconds are enough. Raises LayoutError where there are no words or no sound.
        """
        (codes,) = self.semantic.encode([heard])
        text = self.text.encode(said)
        if not text or not len(codes):
            raise LayoutError("the reference of a voice needs sound, and what is said in it")
        return TokenMessage(Role.ASSISTANT, tuple(text), tuple(codes.tolist()))

    @property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.llm.config.text_vocab, self.llm.config.audio_offset)

    def voice(self, heard: np.ndarray, played: np.ndarray) -> History:
        """Return the voice of a recording, for `reply` and `say`; 3 to 15 seconds are enough.

        Both arguments are that recording, float32 (samples,) mono: `heard` at 16 kHz, `played` at
        the detokenizer's rate. Raises ValueError when it is too short or too long, and when there
        is no detokenizer.
        """
        if self.detokenizer is None:
            raise ValueError("a voice needs the detokenizer")
        (tokens,) = self.semantic.encode([heard])
        return self.detokenizer.voice(torch.from_numpy(tokens), torch.from_numpy(played))

    def reply(
        self,
        messages: Sequence[Message],
        settings: GenerateSettings,
        voice: History | None = None,
    ) -> Iterator[ReplyPiece]:
        """Yield the reply to a conversation, as it comes; it sounds like `voice` if given.

        Raises LayoutError, NoRoom, and ValueError when speech is wanted and there is no
        detokenizer.
        """
        return self._pieces(self.prompt(messages, settings.reply), settings, voice)

    def say(
        self,
        text: str,
        settings: GenerateSettings,
        voice: History | None = None,
        reference: TokenMessage | None = None,
    ) -> Iterator[ReplyPiece]:
        """Yield a text read aloud, as it comes, by an LLM that was pre-trained on that task.

        With a `reference` the LLM goes on in the manner of who said that, and with a `voice` the
        detokenizer sounds like it; both are of one recording, usually. `settings.reply` and
        `settings.audio_only` are ignored. Raises the errors of `reply`.
        """
        return self._pieces(self.text_prompt(text, reference), read_aloud_settings(settings), voice)

    def say_all(
        self,
        texts: Sequence[str],
        settings: GenerateSettings,
        voice: History | None = None,
        reference: TokenMessage | None = None,
    ) -> list[Tensor]:
        """Return texts read aloud as `say` does, their tokens made together.

        Each is float32 (samples,) at the detokenizer's rate. Raises the errors of `say`.
        """
        if self.detokenizer is None:
            raise ValueError("a spoken reply needs the detokenizer")
        prompts = [self.text_prompt(text, reference) for text in texts]
        replies = self.engine.replies(prompts, read_aloud_settings(settings))
        return [
            self.detokenizer.decode(
                reply.codes, torch.Generator().manual_seed(settings.seed), voice
            ).cpu()
            for reply in replies
        ]

    def _pieces(
        self, prompt: LlmPrompt, settings: GenerateSettings, voice: History | None
    ) -> Iterator[ReplyPiece]:
        speech = None
        if settings.reply is Reply.BOTH:
            if self.detokenizer is None:
                raise ValueError("a spoken reply needs the detokenizer")
            speech = self.detokenizer.stream(torch.Generator().manual_seed(settings.seed), voice)
        silence = torch.zeros(0)
        text, complete = TextStream(self.text), False
        for step in self.engine.stream(prompt, settings):
            # The text head may also choose special ids, which are no text.
            ids = tuple(i for i in (step.text,) if i is not None and i < self.llm.config.text_vocab)
            codes = () if step.code is None else (step.code,)
            complete = step.stopped
            audio = speech.push(codes).cpu() if speech is not None and codes else silence
            yield ReplyPiece("".join(map(text.push, ids)), audio, complete, ids, codes)
        rest = speech.push([], final=True).cpu() if speech is not None else silence
        yield ReplyPiece(text.rest(), rest, complete)


def __getattr__(name: str) -> type[Message]:
    """Return `Message` for `Turn`, its old name, with a DeprecationWarning."""
    if name == "Turn":
        warnings.warn("Turn is now called Message", DeprecationWarning, stacklevel=2)
        return Message
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def read_aloud_settings(settings: GenerateSettings) -> GenerateSettings:
    """Return the settings for speech that continues `Assistant.text_prompt`."""
    return settings.model_copy(update={"reply": Reply.BOTH, "audio_only": True})


def semantic_tokenizer(
    folder: Path, given: str | Path | None, device: str
) -> SemanticTokenizer | KMeansTokenizer:
    """Return the given tokenizer, or that of a model folder, or the published one.

    `given` is a folder or a hub id. Raises WeightsError.
    """
    if given is None and (folder / kmeans.FOLDER).is_dir():
        given = folder / kmeans.FOLDER
    if given is not None and (Path(given) / kmeans.CODEBOOK_FILE).is_file():
        return KMeansTokenizer.from_pretrained(Path(given))
    own = folder / SEMANTIC_FOLDER
    return SemanticTokenizer.from_pretrained(
        given or (own if own.is_dir() else SEMANTIC_SOURCE), device
    )
