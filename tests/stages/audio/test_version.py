"""The choice between original and enhanced."""

from __future__ import annotations

from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.version import AudioVersionSettings, choose_audio_version

RECORDINGS = [Recording(f"{index:032x}", "a.wav", 1000) for index in range(4000)]


def settings(seed: int, enhanced_share: float) -> AudioVersionSettings:
    return AudioVersionSettings(seed=seed, enhanced_share=enhanced_share)


def share(seed: int, enhanced: float) -> float:
    chosen = [choose_audio_version(recording, settings(seed, enhanced)) for recording in RECORDINGS]
    return chosen.count("enhanced") / len(chosen)


def test_shares() -> None:
    assert abs(share(0, 0.5) - 0.5) < 0.04
    assert abs(share(1, 0.2) - 0.2) < 0.04
    assert (share(0, 0.0), share(0, 1.0)) == (0.0, 1.0)


def test_depends_on_seed_and_recording_only() -> None:
    half, other = settings(0, 0.5), settings(1, 0.5)
    first = [choose_audio_version(recording, half) for recording in RECORDINGS]
    moved = [Recording(r.recording_id, "elsewhere.mp3", 5) for r in reversed(RECORDINGS)]
    assert [choose_audio_version(recording, half) for recording in reversed(moved)] == first
    assert [choose_audio_version(recording, other) for recording in RECORDINGS] != first


def test_labelled_recordings_stay_as_they_are() -> None:
    labelled = Recording("0" * 32, "a.wav", 1000, items=(Item("i", 0, 500),))
    assert choose_audio_version(labelled, settings(0, 1.0)) == "original"
