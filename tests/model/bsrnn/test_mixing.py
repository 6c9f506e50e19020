"""Mixtures: levels, rooms, held-out files, reproducibility."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.model.bsrnn.made import audio_folders, noise, small_mixer
from wavemill.model.bsrnn.clips import find_clips, split_clips
from wavemill.model.bsrnn.mixing import Mixer, MixSettings, equalised, rms


def decibels(ratio: float) -> float:
    return float(20 * np.log10(ratio))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_snr_and_level(tmp_path: Path, snr: float) -> None:
    mixer = small_mixer(tmp_path)
    for seed in range(5):
        mixture = mixer.draw(np.random.default_rng(seed), snr, room=False)
        assert mixture.noisy.shape == mixture.target.shape == (12_000,)
        assert mixture.noisy.dtype == mixture.target.dtype == np.float32
        ratio = rms(mixture.target) / rms(mixture.noisy - mixture.target)
        assert decibels(ratio) == pytest.approx(snr, abs=0.1)
        assert -40.1 <= decibels(rms(mixture.noisy)) <= -9.9


def test_the_target_in_a_room_is_early_and_aligned(tmp_path: Path) -> None:
    plain = MixSettings(seconds=0.25, equalise_db=0)
    mixer = small_mixer(tmp_path, plain.model_copy(update={"early_ms": 0.0}))
    rng = np.random.default_rng(4)
    speech = mixer._speech(np.random.default_rng(4))
    # Without early reflections the target is the direct sound: the speech itself, not delayed.
    target = mixer.draw(rng, 200.0, room=True).target
    np.testing.assert_allclose(target / rms(target), speech / rms(speech), atol=1e-3)
    whole = Mixer(mixer.clean, mixer.noise, mixer.rooms, plain)
    mixture = whole.draw(np.random.default_rng(4), 200.0, room=True)
    late = mixture.noisy - mixture.target
    assert rms(late) > 0.01 * rms(mixture.target)
    before_late = round(0.05 * 48_000)
    assert rms(late[:before_late]) < 1e-3 * rms(mixture.target)


def test_same_seed_same_mixture(tmp_path: Path) -> None:
    mixer = small_mixer(tmp_path)
    first, again, other = (mixer.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.noisy, again.noisy)
    assert (first.noisy != other.noisy).any()


def test_held_out_files_are_on_one_side(tmp_path: Path) -> None:
    clips = find_clips([audio_folders(tmp_path)["clean"]])
    seen, unseen = split_clips(clips, ["*_b.wav"])
    assert [clip.path.name for clip in seen.clips] == ["voice_a.wav"]
    assert [clip.path.name for clip in unseen.clips] == ["voice_b.wav"]
    assert not split_clips(clips, ["voice_[ab].wav"])[1].clips  # no name has brackets


def test_short_clips_are_joined(tmp_path: Path) -> None:
    clips = find_clips([audio_folders(tmp_path)["noise"]])  # of one second
    assert clips.piece(np.random.default_rng(0), 2.5, 48_000).shape == (120_000,)


def test_a_folder_without_audio_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=str(tmp_path)):
        find_clips([tmp_path])


def test_equalising_changes_the_colour_within_bounds() -> None:
    audio = noise(4800)
    out = equalised(audio, np.random.default_rng(0), 6.0)
    gains = np.abs(np.fft.rfft(out)) / np.abs(np.fft.rfft(audio))
    assert 10 ** (-6.1 / 20) < gains.min() < 0.9 < 1.1 < gains.max() < 10 ** (6.1 / 20)
    np.testing.assert_array_equal(equalised(audio, np.random.default_rng(0), 0.0), audio)
