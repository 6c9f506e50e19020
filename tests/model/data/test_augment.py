from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from wavemill.model.data import voices
from wavemill.model.data.augment import Augmentation, AugmentSettings, augment
from wavemill.model.data.corpus import Conversation, Sound, Spoken
from wavemill.model.data.voices import Change
from wavemill.model.tokenizer.pieces import tokens_in

FORMANTS = (600.0, 1400.0, 2600.0)  # Hz
PITCH = 120.0  # Hz


@pytest.fixture(scope="module")
def vowel() -> np.ndarray:
    """A second of pulses through three resonances."""
    sound = np.zeros(16_000)
    sound[:: round(16_000 / PITCH)] = 1.0
    for hz in FORMANTS:
        radius = np.exp(-np.pi * 80 / 16_000)
        sound = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hz / 16_000), radius**2], sound)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def pitch_of(sound: np.ndarray) -> float:
    middle = sound[4000:8000]
    likeness = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    return 16_000 / float(np.argmax(likeness[50:300]) + 50)


def formants_of(sound: np.ndarray) -> list[float]:
    level = voices.envelope(voices.stft(sound))[20:-20].mean(axis=0)
    peaks = (level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])
    return list(voices.HZ[1:-1][peaks][:3])


@pytest.mark.parametrize(
    ("change", "pitch", "formants", "duration"),
    [
        (Change(), 1.0, 1.0, 1.0),
        (Change(pitch=1.25), 1.25, 1.0, 1.0),
        (Change(pitch=0.8), 0.8, 1.0, 1.0),
        (Change(formants=1.3), 1.0, 1.3, 1.0),
        (Change(duration=1.3), 1.0, 1.0, 1.3),
        (Change(pitch=1.2, formants=0.9, duration=0.8), 1.2, 0.9, 0.8),
    ],
)
def test_pitch_formants_and_tempo_change_each_by_itself(
    vowel: np.ndarray, change: Change, pitch: float, formants: float, duration: float
) -> None:
    sound = voices.changed(vowel, change)
    assert sound.dtype == np.float32
    assert len(sound) == round(duration * len(vowel))
    assert pitch_of(sound) == pytest.approx(pitch * PITCH, rel=0.03)
    wanted = [formants * hz for hz in FORMANTS]
    assert formants_of(sound) == pytest.approx(wanted, rel=0.13)


def test_no_change_changes_nothing(vowel: np.ndarray) -> None:
    np.testing.assert_allclose(voices.changed(vowel, Change()), vowel, atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(0, 9000), seed=st.integers(0, 1000))
def test_any_waveform_gives_one_that_is_bounded_and_repeatable(samples: int, seed: int) -> None:
    clip = np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)
    before = clip.copy()
    first, again = (augment(clip, AugmentSettings(), np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(clip, before)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert bool(len(first)) == bool(samples)
    assert np.abs(first).max(initial=0.0) <= 1.0


def test_silence_stays_silent() -> None:
    quiet = AugmentSettings(noise_share=0.0)
    found = augment(np.zeros(8000, np.float32), quiet, np.random.default_rng(0))
    assert np.abs(found).max() < 1e-3


def conversation(sound: np.ndarray) -> Conversation:
    file = io.BytesIO()
    soundfile.write(file, sound, 16_000, format="FLAC")
    codes = np.zeros(tokens_in(len(sound)), np.int32)
    messages = (
        Spoken("user", "What is said?", None),
        Spoken("user", None, Sound(file.getvalue(), codes)),
        Spoken("assistant", "ah", None),
    )
    return Conversation(0, "vowel", "asr", "train", messages)


def counted(sound: np.ndarray) -> np.ndarray:
    return np.arange(tokens_in(len(sound)), dtype=np.int32)


def test_every_turn_hears_another_sound_and_its_codes(vowel: np.ndarray) -> None:
    augmentation = Augmentation(AugmentSettings(), counted, seed=3)
    said = conversation(vowel)
    first, second = (augmentation(said, turn).messages[1].sound for turn in (0, 1))
    again = augmentation(said, 0).messages[1].sound
    assert first is not None
    assert second is not None
    assert again is not None
    assert again.waveform is not None
    assert first.waveform is not None
    assert second.waveform is not None
    assert np.array_equal(first.waveform, again.waveform)
    assert not np.array_equal(first.waveform, second.waveform)
    assert np.array_equal(first.codes, counted(first.waveform))
    assert augmentation(said, 0).messages[::2] == said.messages[::2]


def test_a_bare_conversation_has_no_question(vowel: np.ndarray) -> None:
    bare = Augmentation(AugmentSettings(bare_share=1.0), counted)(conversation(vowel), 0)
    assert [(m.role, m.text) for m in bare.messages] == [("user", None), ("assistant", "ah")]
    text = Conversation(0, "t", "chat", "train", conversation(vowel).messages[::2])
    assert Augmentation(AugmentSettings(bare_share=1.0), counted)(text, 0) == text


def test_what_cannot_be_decoded_is_left_to_others(vowel: np.ndarray) -> None:
    said = conversation(vowel)
    for data in (b"", b"no sound"):
        broken = Spoken("user", None, Sound(data, np.zeros(3, np.int32)))
        whole = Conversation(0, "b", "asr", "train", (broken, said.messages[2]))
        assert Augmentation(AugmentSettings(), counted)(whole, 0).messages[0] == broken
