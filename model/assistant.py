"""All parts together: text and sound in, text and sound out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.layout import has_detokenizer
from wavemill.model.generate.generate import stream
from wavemill.model.generate.streams import GenerateSettings
from wavemill.model.io.folders import resolve
from wavemill.model.llm.batch import Sample
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Format, Layout, Message, Reply, Revision, Role, read_aloud
from wavemill.model.prompt.text import TextTokenizer, load_text_tokenizer
from wavemill.model.prompt.vocabulary import Vocabulary
from wavemill.model.tokenizer import kmeans
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.kmeans import KMeansTokenizer
from wavemill.model.tokenizer.semantic import SemanticTokenizer

ACOUSTIC_FOLDER = "whisper-large-v3"
SEMANTIC_FOLDER = "glm-4-voice-tokenizer"  # beside the published model it is a repository apart
SEMANTIC_SOURCE = "THUDM/glm-4-voice-tokenizer"
BROKEN = "�"  # the end of a text whose last character is not complete


@dataclass(frozen=True)
class Turn:
    """One message: text, or sound (float32 (samples,) mono at 16 kHz), or the assistant's both."""

    role: Role
    text: str | None = None
    audio: np.ndarray | None = None


@dataclass(frozen=True)
class Piece:
    """What a step adds to a reply; either may be empty."""

    text: str
    audio: Tensor  # float32 (samples,) at the detokenizer's rate
    complete: bool  # the reply has ended by itself here


@dataclass
class Assistant:
    """The parts of a model folder."""

    llm: AudioLlm
    text: TextTokenizer
    semantic: SemanticTokenizer | KMeansTokenizer
    acoustic: AcousticEncoder
    detokenizer: Detokenizer | None = None  # not needed for text
    revision: Revision = Revision.JUNE

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
        """Read the published layout, a folder or a hub id.

        The semantic tokenizer is `semantic`, else the folder's own, else the published one from
        the hub; `detokenizer` is a folder or hub id too, in place of the folder's own. `dtype`
        (None: as stored) is the LLM's and the acoustic encoder's; tokenizer and detokenizer run in
        float32. `speaks` False leaves the detokenizer out, True asks for one, and None takes one
        where there is one: a model that was just trained has none, and replies in text. Raises
        WeightsError.
        """
        folder = resolve(source)
        if speaks is None:
            speaks = detokenizer is not None or has_detokenizer(folder)
        llm = AudioLlm.from_pretrained(folder, device, dtype)
        return cls(
            llm=llm,
            text=load_text_tokenizer(folder, llm.config.text_vocab),
            semantic=_semantic(folder, semantic, device),
            acoustic=AcousticEncoder.from_pretrained(folder / ACOUSTIC_FOLDER, device, dtype),
            detokenizer=(
                Detokenizer.from_pretrained(detokenizer or folder, device) if speaks else None
            ),
        )

    def prompt(self, turns: Sequence[Turn], reply: Reply) -> Sample:
        """Return a conversation as the LLM reads it; raises LayoutError."""
        config = self.llm.config
        heard = [turn.audio for turn in turns if turn.audio is not None]
        codes = iter(self.semantic.encode(heard))
        messages = [
            Message(
                turn.role,
                None if turn.text is None else tuple(self.text.encode(turn.text)),
                None if turn.audio is None else tuple(next(codes).tolist()),
            )
            for turn in turns
        ]
        form = Format(self._vocabulary, self.revision, config.audio_delay)
        with torch.inference_mode():
            features = self.acoustic.features(
                [t.audio for t in turns if t.audio is not None and t.text is None]
            )
        return _sample(form.layout(messages, reply), [rows.cpu() for rows in features])

    def text_prompt(self, text: str) -> Sample:
        """Return a text to be read aloud, as pre-training lays it out; raises LayoutError."""
        return _sample(read_aloud(self.text.encode(text), self._vocabulary), [])

    @property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.llm.config.text_vocab, self.llm.config.audio_offset)

    def voice(self, heard: np.ndarray, played: np.ndarray) -> History:
        """Return the voice of a recording, for `reply`; some three to fifteen seconds are good.

        `heard` and `played` are the recording, float32 (samples,) mono, at 16 kHz and at the
        detokenizer's rate. Raises ValueError for one too short or too long.
        """
        if self.detokenizer is None:
            raise ValueError("a voice needs the detokenizer")
        (tokens,) = self.semantic.encode([heard])
        return self.detokenizer.voice(torch.from_numpy(tokens), torch.from_numpy(played))

    def reply(
        self, turns: Sequence[Turn], settings: GenerateSettings, voice: History | None = None
    ) -> Iterator[Piece]:
        """Yield the reply to a conversation, as it comes, spoken with a `voice`.

        Raises LayoutError, NoRoom, and ValueError when speech is wanted and there is no
        detokenizer.
        """
        return self._pieces(self.prompt(turns, settings.reply), settings, voice)

    def say(
        self, text: str, settings: GenerateSettings, voice: History | None = None
    ) -> Iterator[Piece]:
        """Yield a text read aloud, as it comes: for an LLM that learnt pre-training's TTS task.

        What `settings` say of the reply does not matter. Raises as `reply` does.
        """
        return self._pieces(self.text_prompt(text), read_aloud_settings(settings), voice)

    def _pieces(
        self, prompt: Sample, settings: GenerateSettings, voice: History | None
    ) -> Iterator[Piece]:
        speech = None
        if settings.reply is Reply.BOTH:
            if self.detokenizer is None:
                raise ValueError("a spoken reply needs the detokenizer")
            speech = self.detokenizer.stream(torch.Generator().manual_seed(settings.seed), voice)
        silence = torch.zeros(0)
        ids: list[int] = []
        said, complete = "", False
        for step in stream(self.llm, prompt, settings):
            if step.text is not None and step.text < self.llm.config.text_vocab:
                ids.append(step.text)
            text = self.text.decode(ids)
            new = "" if text.endswith(BROKEN) else text[len(said) :]
            said, complete = said + new, step.stopped
            audio = silence
            if speech is not None and step.code is not None:
                audio = speech.push([step.code]).cpu()
            yield Piece(new, audio, complete)
        rest = speech.push([], final=True).cpu() if speech is not None else silence
        yield Piece(self.text.decode(ids)[len(said) :], rest, complete)


def read_aloud_settings(settings: GenerateSettings) -> GenerateSettings:
    """Return the settings for speech that goes on from `Assistant.text_prompt`."""
    return settings.model_copy(update={"reply": Reply.BOTH, "audio_only": True})


def _sample(layout: Layout, features: list[Tensor]) -> Sample:
    return Sample(
        torch.tensor(layout.audio_ids),
        torch.tensor(layout.text_ids),
        torch.tensor(layout.continuous),
        features,
    )


def _semantic(
    folder: Path, given: str | Path | None, device: str
) -> SemanticTokenizer | KMeansTokenizer:
    """Return the tokenizer that is given, else the folder's own, else the published one."""
    if given is None and (folder / kmeans.FOLDER).is_dir():
        given = folder / kmeans.FOLDER
    if given is not None and (Path(given) / kmeans.CODEBOOK_FILE).is_file():
        return KMeansTokenizer.from_pretrained(Path(given))
    own = folder / SEMANTIC_FOLDER
    return SemanticTokenizer.from_pretrained(
        given or (own if own.is_dir() else SEMANTIC_SOURCE), device
    )
