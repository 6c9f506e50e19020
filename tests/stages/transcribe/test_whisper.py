"""The Whisper engine on a tiny model that knows ten words, beside the package's own loop."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import whisper
from whisper.utils import compression_ratio

from tests.stages.transcribe.test_stage import upstream
from tests.stages.transcribe.whisper_models import DIGITS, RATE, digit_clips, joined
from tests.stages.transcribe.whisper_models import random_checkpoint as checkpoint
from wavemill.manifests.recording import Recording
from wavemill.stages.transcribe.engine import Transcript
from wavemill.stages.transcribe.stage import Config, Transcribe
from wavemill.stages.transcribe.whisper import Whisper, WhisperConfig


def loaded(path: Path = DIGITS, **fields: Any) -> Whisper:
    engine = Whisper(WhisperConfig(model=str(path), **fields))
    engine.load("cpu")
    return engine


@pytest.fixture(scope="module")
def engine() -> Whisper:
    return loaded()


@pytest.fixture(scope="module")
def package() -> Any:
    """The package's own model, but that what it draws at a temperature can be repeated."""
    model = whisper.load_model(str(DIGITS), "cpu")
    decode = model.decode

    def seeded(mel: torch.Tensor, options: whisper.DecodingOptions) -> whisper.DecodingResult:
        torch.manual_seed(WhisperConfig().seed)
        return decode(mel, options)

    model.decode = seeded
    return model


@pytest.fixture(scope="module")
def digits() -> list[tuple[str, np.ndarray]]:
    return digit_clips()


@pytest.fixture(scope="module")
def clips(digits: list[tuple[str, np.ndarray]]) -> list[np.ndarray]:
    """One clip of every digit and speaker, in no order of length."""
    return [clip for _, clip in digits[:: len(digits) // 40]][:20]


def looped(package: Any, clip: np.ndarray, **options: Any) -> dict[str, Any]:
    return whisper.transcribe(package, clip, **{"word_timestamps": True, "fp16": False, **options})


def noise(seconds: float, level: float) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, level, int(seconds * RATE))
    return samples.astype(np.float32)


def test_every_held_out_digit_has_the_text_of_the_package(
    package: Any, digits: list[tuple[str, np.ndarray]]
) -> None:
    """Without word times, which take the loop as long again; below, with them."""
    engine = loaded(word_timestamps=False)
    found = engine.transcribe([clip for _, clip in digits])
    assert len(found) == 200
    right = 0
    for one, (word, clip) in zip(found, digits, strict=True):
        loop = looped(package, clip, word_timestamps=False)
        assert (one.text, one.language) == (loop["text"].strip(), loop["language"])
        right += one.text == word
    assert right >= 190


def test_everything_else_is_the_package_s_too(package: Any, clips: list[np.ndarray]) -> None:
    several = [*clips[:6], joined(clips[:3]), joined(clips[3:5], 0.6), joined(clips[5:15])]
    greedy = loaded(temperatures=(0.0,))
    for one, clip in zip(greedy.transcribe(several), several, strict=True):
        loop = looped(package, clip, temperature=0.0)
        assert one.text == loop["text"].strip()
        words = [word for segment in loop["segments"] for word in segment["words"]]
        assert [word.word for word in one.words] == [word["word"].strip() for word in words]
        probabilities = [word["probability"] for word in words]
        assert [word.confidence for word in one.words] == pytest.approx(probabilities, abs=1e-3)
        assert one.asr_confidence == pytest.approx(np.mean(probabilities), abs=1e-3)
        assert one.compression_ratio == pytest.approx(compression_ratio(one.text))
        if len(loop["segments"]) == 1:
            (segment,) = loop["segments"]
            assert one.avg_logprob == pytest.approx(segment["avg_logprob"], abs=1e-3)
            assert one.no_speech_prob == pytest.approx(segment["no_speech_prob"], abs=1e-3)


def test_words_lie_within_the_clip_in_order(engine: Whisper, clips: list[np.ndarray]) -> None:
    several = [joined(clips[i : i + 2]) for i in range(0, 8, 2)]
    for one, clip in zip(engine.transcribe(several), several, strict=True):
        edges = [edge for word in one.words for edge in (word.start_ms, word.end_ms)]
        assert edges
        assert edges == sorted(edges)
        assert 0 <= edges[0] <= edges[-1] <= clip.size // 16
        assert all(isinstance(edge, int) for edge in edges)


def test_a_transcript_depends_on_its_clip_alone(clips: list[np.ndarray]) -> None:
    engine = loaded(temperatures=(0.0,))
    several = [*clips[:7], joined(clips[:2])]
    together = engine.transcribe(several)
    backwards = engine.transcribe(several[::-1])[::-1]
    alone = [engine.transcribe([clip])[0] for clip in several]
    in_threes = loaded(temperatures=(0.0,), batch_size=3).transcribe(several)
    for other in (backwards, alone, in_threes):
        for one, two in zip(together, other, strict=True):
            assert_same(one, two)


def assert_same(one: Transcript, two: Transcript) -> None:
    """Same but for the rounding of floats."""
    assert (one.text, one.language) == (two.text, two.language)
    times = [[(w.word, w.start_ms, w.end_ms) for w in some.words] for some in (one, two)]
    assert times[0] == times[1]
    for name in ("asr_confidence", "language_probability", "avg_logprob", "no_speech_prob"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), abs=1e-3)


def test_the_language_is_that_of_the_package(
    engine: Whisper, package: Any, clips: list[np.ndarray]
) -> None:
    (found,) = engine.transcribe(clips[:1])
    mel = whisper.log_mel_spectrogram(clips[0], padding=30 * RATE)
    _, probabilities = package.detect_language(whisper.pad_or_trim(mel, 3000))
    assert len(probabilities) == 99
    assert found.language == max(probabilities, key=probabilities.get) == "en"
    assert found.language_probability == pytest.approx(probabilities["en"], abs=1e-4)
    assert found.language_probability > 0.9


def test_a_language_that_is_not_allowed_is_named_and_not_written_down(
    clips: list[np.ndarray],
) -> None:
    found = loaded(allowed_languages=("zh",)).transcribe(clips[:3])
    for one in found:
        assert (one.text, one.words, one.asr_confidence, one.language) == ("", (), 0.0, "en")
        assert one.language_probability is not None
        assert one.language_probability > 0.9
        assert one.avg_logprob is None


def test_one_encoding_gives_the_same_text(engine: Whisper, clips: list[np.ndarray]) -> None:
    found = loaded(one_encoding=True).transcribe(clips)
    assert [one.text for one in found] == [one.text for one in engine.transcribe(clips)]


def test_silence_and_clips_too_short(engine: Whisper, clips: list[np.ndarray]) -> None:
    empty = [np.zeros(0, np.float32), np.ones(1, np.float32), np.zeros(RATE, np.float32)]
    found = engine.transcribe([*empty, clips[0]])
    for one in found[:2]:
        assert (one.text, one.words, one.asr_confidence) == ("", (), 0.0)
    assert found[3].text
    # This model is sure of what it says about silence, which the package then lets stand ...
    probabilities = [one.no_speech_prob for one in found[2:]]
    assert probabilities[0] > 0.9 > 0.6 > probabilities[1]  # type: ignore[operator]
    # ... but not when it must be surer.
    (one,) = loaded(logprob_threshold=0.0).transcribe(empty[2:])
    assert (one.text, one.words, one.asr_confidence) == ("", (), 0.0)
    assert one.no_speech_prob == pytest.approx(probabilities[0])
    assert one.avg_logprob is not None
    assert engine.transcribe([]) == []


def test_a_clip_above_30_s_is_read_window_by_window(package: Any, clips: list[np.ndarray]) -> None:
    second = clips[2]
    gap = np.zeros(30 * RATE - clips[0].size, np.float32)
    clip = np.concatenate([clips[0], gap, second, np.zeros(RATE // 10, np.float32)])
    # Without the prompt of the window before, which this model never saw.
    engine = loaded(temperatures=(0.0,), condition_on_previous_text=False)
    (found,) = engine.transcribe([clip])
    loop = looped(package, clip, temperature=0.0, condition_on_previous_text=False)
    assert [segment["seek"] for segment in loop["segments"]] == [0, 3000]
    assert found.text == loop["text"].strip()
    assert len(found.words) == 2
    assert 30_000 <= found.words[1].start_ms < found.words[1].end_ms <= clip.size // 16


def random_engine(tmp_path: Path, **fields: Any) -> Whisper:
    every = tuple(whisper.tokenizer.LANGUAGES)
    path = checkpoint(tmp_path / "random.pt")
    # Without word times: aligned babble would move the windows on by a few frames each.
    return loaded(path, allowed_languages=every, word_timestamps=False, **fields)


def test_random_weights_babble_as_they_do_in_the_package(tmp_path: Path) -> None:
    """Nothing about the text is plausible, so every rule and every window counts."""
    engine = random_engine(tmp_path, temperatures=(0.0,), no_speech_threshold=None)
    package = whisper.load_model(str(tmp_path / "random.pt"), "cpu")
    several = [noise(seconds, level) for seconds, level in ((0.3, 0.1), (0.5, 0.01), (0.8, 0.5))]
    for one, clip in zip(engine.transcribe(several), several, strict=True):
        loop = looped(
            package, clip, temperature=0.0, no_speech_threshold=None, word_timestamps=False
        )
        assert one.text == loop["text"].strip()
        assert one.language == loop["language"]


def test_what_fails_the_checks_is_tried_again_and_always_in_the_same_way(tmp_path: Path) -> None:
    temperatures = (0.0, 0.6, 1.0)
    engine = random_engine(tmp_path, temperatures=temperatures, no_speech_threshold=None)
    drawn: list[float] = []
    decode = engine._transcriber.model.decode

    def spied(mel: torch.Tensor, options: whisper.DecodingOptions) -> whisper.DecodingResult:
        drawn.append(options.temperature)
        return decode(mel, options)

    engine._transcriber.model.decode = spied
    clips = [noise(0.3, 0.1), noise(0.5, 0.01)]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = engine.transcribe(clips)
    assert torch.equal(torch.get_rng_state(), state)  # others' random numbers are their own
    assert set(drawn) >= {0.6, 1.0}
    torch.manual_seed(2)
    second = engine.transcribe(clips[::-1])[::-1]
    assert [one.text for one in first] == [one.text for one in second]
    other = random_engine(tmp_path, temperatures=temperatures, no_speech_threshold=None, seed=7)
    assert [one.text for one in other.transcribe(clips)] != [one.text for one in first]


def test_english_only_models(tmp_path: Path) -> None:
    engine = loaded(
        checkpoint(tmp_path / "en.pt", vocabulary=51_864),
        temperatures=(0.0,),
        word_timestamps=False,
    )
    (found,) = engine.transcribe([noise(1, 0.1)])
    assert (found.language, found.language_probability) == ("en", None)


def test_without_word_timestamps(package: Any, clips: list[np.ndarray]) -> None:
    (found,) = loaded(word_timestamps=False).transcribe(clips[:1])
    loop = looped(package, clips[0], word_timestamps=False)
    assert (found.text, found.words) == (loop["text"].strip(), ())
    assert found.asr_confidence == pytest.approx(np.exp(found.avg_logprob))


def test_a_beam(package: Any, clips: list[np.ndarray]) -> None:
    found = loaded(beam_size=2).transcribe(clips[:2])
    expected = [looped(package, clip, beam_size=2)["text"].strip() for clip in clips[:2]]
    assert [one.text for one in found] == expected


@pytest.mark.parametrize(
    "field",
    [
        {"temperatures": ()},
        {"temperatures": (0.2, 0.4)},
        {"temperatures": (0.0, 0.4, 0.4)},
        {"allowed_languages": ("English",)},
        {"batch_size": 0},
        {"model_name": "tiny"},
    ],
)
def test_settings_that_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        WhisperConfig(**field)


def test_the_defaults_are_those_of_the_report_and_of_the_package() -> None:
    import inspect

    config = WhisperConfig()
    assert (config.model, config.allowed_languages) == ("large-v3", ("en", "zh"))
    package = inspect.signature(whisper.transcribe).parameters
    options = config.transcribe_options()
    for name in set(options) - {"word_timestamps", "beam_size", "best_of"}:
        assert options[name] == package[name].default


def test_through_the_stage(clips: list[np.ndarray]) -> None:
    section = {"engine": "whisper", "whisper": {"model": str(DIGITS)}}
    stage = Transcribe.build(Config(**section), "cpu")
    tables = speech_upstream([joined(clips[:2]), joined(clips[2:4])])
    rows = [
        row for part in stage(Recording("r", "a.wav", 6000), tables) for row in part.to_pylist()
    ]
    assert len(rows) == 2
    for row in rows:
        assert row["language"] == "en"
        assert row["text"]
        assert [word["word"] for word in row["words"]] == row["text"].split()
        assert all(a["end_ms"] <= b["start_ms"] for a, b in pairwise(row["words"]))
        for name in ("language_probability", "avg_logprob", "no_speech_prob"):
            assert row[name] is not None
    assert rows[1]["words"][0]["start_ms"] >= 3000


def speech_upstream(clips: Sequence[np.ndarray]) -> Any:
    """Clips at 0 s and 3 s of both versions."""
    from tests.support import stored_tables
    from wavemill.stages.audio.block_table import STAGE_OF
    from wavemill.stages.audio.flac import encode_flac

    found = upstream([(0, 0, 3000), (0, 3000, 6000)])
    samples = np.zeros(6 * RATE, np.float32)
    for index, clip in enumerate(clips):
        start = 3 * index * RATE
        kept = clip[: 3 * RATE]
        samples[start : start + kept.size] = kept
    blocks = [b for stage in STAGE_OF.values() for b in found.tables[stage].to_pylist()]
    for block in blocks:
        block["sample_rate"] = RATE
        block["audio"] = encode_flac(samples, RATE)
    return type(found)("r", {**found.tables, **stored_tables(blocks)})


def test_through_the_command_line(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from tests.pipeline.test_curation import RECORDINGS, wavemill

    source = tmp_path / "in"
    source.mkdir()
    samples, rate = soundfile.read(RECORDINGS / "clean_dialogue.flac")
    soundfile.write(source / "a.flac", samples[: 12 * rate], rate)
    settings = (
        "transcribe.engine=whisper",
        f"transcribe.whisper.model={DIGITS}",
        "transcribe.whisper.temperatures=[0.0]",  # the model knows none of these words
        "transcribe.whisper.word_timestamps=false",
    )
    flags = [flag for setting in settings for flag in ("--set", setting)]
    wavemill("curate", source, "--out", tmp_path / "out", "--executor", "inline", *flags)
    (path,) = (tmp_path / "out").rglob("*transcribe*/**/*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert rows
    assert all(row["language_probability"] is not None for row in rows)
