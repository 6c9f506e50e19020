"""Models that know several languages: a small one that knows ten English words, in real speech."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
import whisper

from tests.stages.transcribe.whisper_models import (
    DIGITS,
    RATE,
    converted,
    digit_clips,
    digits_checkpoint,
    joined,
    random_checkpoint,
    speaking,
    tiny_en,
)
from tests.support import ROOT
from wavemill.stages.transcribe.faster_whisper import (
    FasterWhisper,
    FasterWhisperConfig,
    PackingConfig,
    _Heard,
)
from wavemill.stages.transcribe.faster_whisper_weights import BUNDLED, model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(*digits_checkpoint(), tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> FasterWhisper:
    return loaded(folder)


@pytest.fixture(scope="module")
def digits() -> list[tuple[str, np.ndarray]]:
    return digit_clips("george")


def loaded(folder: Path, **fields: Any) -> FasterWhisper:
    engine = FasterWhisper(FasterWhisperConfig(model=str(folder), **fields))
    engine.check()
    engine.load("cpu")
    return engine


def test_the_language_is_identified_and_the_words_have_times(
    engine: FasterWhisper, digits: list[tuple[str, np.ndarray]]
) -> None:
    found = engine.transcribe([clip for _, clip in digits])
    right = sum(one.text == word for one, (word, _) in zip(found, digits, strict=True))
    assert right >= 0.9 * len(digits)
    for one, (_, clip) in zip(found, digits, strict=True):
        assert one.language == "en"
        assert one.language_probability is not None
        assert one.language_probability > 0.9
        edges = [edge for word in one.words for edge in (word.start_ms, word.end_ms)]
        assert edges == sorted(edges)
        assert 0 <= edges[0] <= edges[-1] <= clip.size // 16


def test_several_words_of_a_clip(
    engine: FasterWhisper, digits: list[tuple[str, np.ndarray]]
) -> None:
    some = digits[::5][:4]
    for first, second in pairwise(some):
        (found,) = engine.transcribe([joined([first[1], second[1]])])
        # The model may say the last word twice.
        assert found.text.startswith(f"{first[0]} {second[0]}")
        assert [word.word for word in found.words] == found.text.split()
        assert found.words[1].start_ms > first[1].size // 32
        assert found.words[1].end_ms <= (first[1].size + second[1].size) // 16 + 400


def test_text_and_probabilities_are_those_of_the_package(
    engine: FasterWhisper, digits: list[tuple[str, np.ndarray]]
) -> None:
    package = whisper.load_model(str(DIGITS), "cpu")
    clips = [clip for _, clip in digits[::5]]
    exact = loaded(Path(engine.config.model), compute_type="float32", beam_size=1)
    for clip, one in zip(clips, exact.transcribe(clips), strict=True):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip))[None]
        options = whisper.DecodingOptions(fp16=False, language="en", without_timestamps=True)
        with torch.no_grad():
            (expected,) = package.decode(mel, options)
            _, (languages,) = package.detect_language(mel)
        assert one.text == expected.text
        assert one.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-3)
        assert one.language_probability == pytest.approx(languages["en"], abs=1e-3)


def test_another_language_is_named_and_kept(
    tmp_path: Path, digits: list[tuple[str, np.ndarray]]
) -> None:
    dims, state = digits_checkpoint()
    engine = loaded(converted(dims, speaking(state, "zh"), tmp_path))
    clips = [clip for _, clip in digits[::10]]
    assert {one.language for one in engine.transcribe(clips)} == {"zh"}
    allowed = FasterWhisperConfig(model=str(tmp_path), allowed_languages=("en", "de"))
    refusing = FasterWhisper(allowed)
    refusing.load("cpu")
    for one in refusing.transcribe(clips):
        assert (one.text, one.words, one.asr_confidence, one.language) == ("", (), 0.0, "zh")
        assert one.language_probability is not None
        assert one.language_probability > 0.9
        assert one.avg_logprob is None


def test_languages_of_one_batch(
    folder: Path, digits: list[tuple[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [clip for _, clip in digits[::10]]
    expected = loaded(folder).transcribe(clips)
    names = ["en", "de", "en", "fr", "en"]

    def languages(_: FasterWhisper, __: object, count: int) -> list[_Heard]:
        assert count == len(names)
        return [_Heard(name, 0.75) for name in names]

    monkeypatch.setattr(FasterWhisper, "_languages", languages)
    found = loaded(folder, allowed_languages=("en", "fr")).transcribe(clips)
    assert [one.language for one in found] == names
    assert {one.language_probability for one in found} == {0.75}
    for one, alone in zip(found, expected, strict=True):
        if one.language == "en":
            assert one.text == alone.text
            assert one.asr_confidence == pytest.approx(alone.asr_confidence, abs=1e-3)
        elif one.language == "de":
            assert one.text == ""


def test_a_language_that_is_told_is_not_identified(
    folder: Path, digits: list[tuple[str, np.ndarray]]
) -> None:
    engine = loaded(folder, language="en", packing=PackingConfig(max_words_per_second=20))
    for one, (word, _) in zip(engine.transcribe([digits[7][1]]), digits[7:8], strict=True):
        assert (one.text, one.language, one.language_probability) == (word, "en", None)


def test_nothing_to_hear_has_no_language(engine: FasterWhisper) -> None:
    for one in engine.transcribe([np.zeros(0, np.float32), np.zeros(RATE, np.float32)]):
        assert (one.text, one.language, one.language_probability) == ("", "und", None)


def test_a_text_without_end_is_cut_off(tmp_path: Path) -> None:
    """Random weights babble to the longest text that there may be."""
    engine = loaded(converted(*random_checkpoint(), tmp_path), beam_size=1)
    clips = [np.random.default_rng(s).normal(0, 0.1, RATE).astype(np.float32) for s in range(2)]
    found = engine.transcribe(clips)
    assert all(one.language and one.language_probability for one in found)
    assert engine.transcribe(clips[::-1])[::-1] == found
    assert all(word.end_ms <= 1000 for one in found for word in one.words)


def test_the_bundled_model_says_what_the_package_says() -> None:
    package = tiny_en(model_folder(BUNDLED, None))
    exact = FasterWhisper(FasterWhisperConfig(compute_type="float32", beam_size=1))
    exact.load("cpu")
    for audio in (digit_clips("jackson")[0][1], example()):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(audio))
        options = whisper.DecodingOptions(fp16=False, language="en", without_timestamps=True)
        with torch.no_grad():
            expected = package.decode(mel, options)
        (found,) = exact.transcribe([audio])
        assert found.text == expected.text
        assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-3)


def example() -> np.ndarray:
    """Return eight seconds of an example recording."""
    path = ROOT / "examples" / "recordings" / "clean_dialogue.flac"
    samples, rate = soundfile.read(path, dtype="float32", stop=8 * 48_000)
    return soxr.resample(samples, rate, RATE)[: 8 * RATE]
