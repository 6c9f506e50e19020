"""The embedded engine: cepstra, voices, clustering, and speakers on real voices."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stages.diarize.sound import RATE, ArrayTrack
from tests.support import audio_folder
from wavemill.stages.diarize.cepstra import HOP, CepstraStream
from wavemill.stages.diarize.clustering import ClusteringConfig, cluster
from wavemill.stages.diarize.phonetic import load_sounds, voice_statistics
from wavemill.stages.diarize.silero import SileroClustering, SileroConfig
from wavemill.stages.diarize.spans import union


def test_cepstra_do_not_depend_on_the_pieces() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * RATE + 123).astype(np.float32)
    whole, pieces = CepstraStream(), CepstraStream()
    whole.feed(noise)
    for piece in np.array_split(noise, [1, 409, 410, 8000, 8001]):
        pieces.feed(piece)
    expected = whole.finish()
    assert expected.values.shape == ((len(noise) - 410) // HOP + 1, 13)
    np.testing.assert_allclose(pieces.finish().values, expected.values, atol=1e-3)
    assert CepstraStream().finish().values.shape == (0, 13)


def test_voice_statistics_find_a_shift_whatever_the_sounds() -> None:
    sounds = load_sounds()
    assert sounds.means.shape == (42 * 128, 13)
    generator = np.random.default_rng(2)
    chosen = generator.integers(0, len(sounds.means), 4000)
    deviation = generator.normal(size=(4000, 13)) / np.sqrt(sounds.precisions[chosen])
    shift = np.where(np.arange(4000)[:, None] < 2000, 2.0, -2.0) * (np.arange(13) == 3)
    frames = (sounds.means[chosen] + deviation + shift).astype(np.float32)
    found = voice_statistics(frames, np.zeros(13, np.float32), sounds)
    assert found.precision.mean(axis=0) == pytest.approx(np.ones(12))
    voices = [
        found.first[half].sum(axis=0) / found.precision[half].sum(axis=0)
        for half in (slice(0, 2000), slice(2000, 4000))
    ]
    difference = voices[0] - voices[1]  # cepstrum 3 is dimension 2: 0 is left out
    # Less than the 4.0 put in: some frames find a nearer sound to belong to.
    assert 1.0 < difference[2] <= 4.5
    assert np.abs(np.delete(difference, 2)).max() < difference[2] / 2


def blocks_of(voices: np.ndarray, order: list[int], per_turn: int, seed: int = 0) -> np.ndarray:
    """Statistics of blocks with precision 1/6 (six make 1.5 s) around the speakers' voices."""
    centres = np.repeat(voices[order], per_turn, axis=0)
    noise = np.random.default_rng(seed).normal(size=centres.shape) * np.sqrt(6)
    return (centres + noise) / 6


def labels_of(first: np.ndarray, config: ClusteringConfig | None = None) -> list[int]:
    precision = np.full_like(first, 1 / 6)
    chunks = np.arange(len(first)) // 6
    return cluster(first, precision, chunks, config or ClusteringConfig()).tolist()


def test_one_speaker_stays_one() -> None:
    assert set(labels_of(blocks_of(np.zeros((1, 12)), [0] * 20, 12))) == {0}
    assert labels_of(np.zeros((1, 12))) == [0]
    assert labels_of(np.zeros((0, 12))) == []


def test_a_returning_speaker_keeps_its_number() -> None:
    voices = np.random.default_rng(3).normal(size=(3, 12)) * 1.5
    order = [0, 1, 0, 2, 1, 0, 2, 1, 0, 2]
    found = np.array(labels_of(blocks_of(voices, order, 16)))
    truth = np.repeat(order, 16)
    assert found.max() == 2
    assert (found == truth).mean() > 0.95  # numbered by first appearance, as the truth is


def test_a_further_speaker_must_pay_its_cost() -> None:
    voices = np.random.default_rng(3).normal(size=(2, 12))
    first = blocks_of(voices, [0, 1] * 5, 12)
    assert set(labels_of(first)) == {0, 1}
    assert set(labels_of(first, ClusteringConfig(speaker_cost=1e6))) == {0}


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
def engine() -> SileroClustering:
    made = SileroClustering(SileroConfig())
    made.load("cpu")
    return made


def test_two_speakers_are_two_and_one_is_one(engine: SileroClustering) -> None:
    both = engine.diarize(ArrayTrack(strings_of_digits(["george", "nicolas"] * 4, 12)))
    assert len({turn.speaker for turn in both.turns}) == 2
    alone = engine.diarize(ArrayTrack(strings_of_digits(["george"] * 4, 12)))
    assert len({turn.speaker for turn in alone.turns}) == 1


def test_turns_cover_the_speech_exactly(engine: SileroClustering) -> None:
    found = engine.diarize(ArrayTrack(strings_of_digits(["george", "theo"] * 3, 10)))
    spoken = sum(end - start for start, end in found.speech)
    assert sum(turn.end_ms - turn.start_ms for turn in found.turns) == spoken
    assert all(
        any(a <= turn.start_ms and turn.end_ms <= b for a, b in union(found.speech))
        for turn in found.turns
    )


def test_embeddings_are_unit_vectors_and_like_voices_are_alike(engine: SileroClustering) -> None:
    clip = strings_of_digits(["george", "nicolas"], 30)
    found = engine.diarize(ArrayTrack(clip))
    end = len(clip) * 1000 // RATE
    change = len(strings_of_digits(["george"], 30)) * 1000 // RATE
    middle = (0 + change) // 2
    vectors = found.embed([(0, middle), (middle, change), (change, end), (end - 10, end)])
    assert vectors.shape == (4, 13)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > engine.config.merge_similarity > vectors[0] @ vectors[2]
    assert found.embed([]).shape == (0, 13)


def test_regions_restrict_speech(engine: SileroClustering) -> None:
    found = engine.diarize(ArrayTrack(strings_of_digits(["theo"], 20)), [(1000, 3000)])
    assert found.speech
    assert all(start >= 1000 and end <= 3000 for start, end in found.speech)


@pytest.mark.parametrize("samples", [0, 100, 5000])
def test_next_to_no_audio_is_no_speech(engine: SileroClustering, samples: int) -> None:
    found = engine.diarize(ArrayTrack(np.zeros(samples)))
    assert (found.speech, found.turns) == ((), ())
