"""From a decoded window to a transcript, by the package's own `transcribe`.

`whisper.transcribe` judges a window's text, tries again at higher temperatures, aligns words,
cuts the text into segments and moves on to the next window. All of it is used as it is: it is
given a model that already knows what the greedy decoder found in the first window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper
from whisper.transcribe import transcribe
from whisper.utils import compression_ratio

from wavemill.stages.transcribe.engine import Transcript, Word


class PrimedModel:
    """A Whisper model that has encoded and greedily decoded the first window of one clip."""

    def __init__(self, model: Whisper, first: DecodingResult, seed: int) -> None:
        self._model = model
        self._first = first
        self._seed = seed
        self._window: Tensor | None = None  # mel of the first window, once it was asked for

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """Return the known result at first, then decode; drawn samples are those of the seed."""
        if self._window is None:
            self._window = mel
            return self._first
        window = self._first.audio_features if mel is self._window else mel
        if options.temperature == 0:
            return self._model.decode(window, options)
        device = self._model.device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self._seed)
            return self._model.decode(window, options)

    def __call__(self, mel: Tensor, tokens: Tensor) -> Tensor:
        """Return logits for the alignment of words; the first window is not encoded again."""
        if self._window is not None and mel.data_ptr() == self._window.data_ptr():
            return self._model.decoder(tokens, self._first.audio_features[None])
        return self._model(mel, tokens)


def transcript(
    audio: Tensor, model: Whisper, first: DecodingResult, seed: int, options: dict[str, Any]
) -> Transcript:
    """Return what the package makes of a clip whose first window gave `first` at temperature 0.

    `audio` is float32 (samples,) at 16 kHz on the model's device; `options` are those of
    `whisper.transcribe`, with the language.
    """
    primed: Any = PrimedModel(model, first, seed)
    found = transcribe(primed, audio, **options)
    segments = found["segments"]
    text = found["text"].strip()
    words = _words(segments, len(audio) // 16)
    logprob = _mean(segments, "avg_logprob", first.avg_logprob)
    return Transcript(
        text=text,
        words=words,
        language=found["language"],
        asr_confidence=_confidence(text, words, logprob),
        avg_logprob=logprob,
        no_speech_prob=_mean(segments, "no_speech_prob", first.no_speech_prob),
        compression_ratio=compression_ratio(text),
    )


def _words(segments: list[dict[str, Any]], duration_ms: int) -> tuple[Word, ...]:
    """Return the words of all segments."""
    timed = (
        Word(
            word=word["word"].strip(),
            start_ms=round(1000 * float(word["start"])),
            end_ms=round(1000 * float(word["end"])),
            confidence=min(max(float(word["probability"]), 0.0), 1.0),
        )
        for segment in segments
        for word in segment.get("words", ())
        if word["word"].strip()
    )
    return in_order(timed, duration_ms)


def in_order(words: Iterable[Word], duration_ms: int) -> tuple[Word, ...]:
    """Return the words within the clip and without overlap: the package lets some reach over."""
    found: list[Word] = []
    for word in words:
        earliest = found[-1].end_ms if found else 0
        start = min(max(word.start_ms, earliest), duration_ms)
        end = min(max(word.end_ms, start), duration_ms)
        found.append(replace(word, start_ms=start, end_ms=end))
    return tuple(found)


def _confidence(text: str, words: tuple[Word, ...], logprob: float) -> float:
    """Return the mean probability of the words as aligned, else that of the tokens as decoded."""
    if not text:
        return 0.0
    if not words:
        return math.exp(min(logprob, 0.0))
    return sum(word.confidence for word in words) / len(words)


def _mean(segments: list[dict[str, Any]], name: str, otherwise: float) -> float:
    """Return the mean over windows, weighted by their tokens (and the one that ends them).

    `otherwise`: for a clip without segments, since its windows were found silent.
    """
    windows: dict[int, tuple[float, int]] = {}
    for segment in segments:  # those of one window all carry the window's figures
        tokens = windows.get(segment["seek"], (0.0, 1))[1]
        windows[segment["seek"]] = (float(segment[name]), tokens + len(segment["tokens"]))
    total = sum(tokens for _, tokens in windows.values())
    if total == 0:
        return float(otherwise)
    return sum(value * tokens for value, tokens in windows.values()) / total
