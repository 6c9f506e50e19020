"""Fitting a codebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavemill.model.tokenizer.kmeans import N_MELS, log_mel, normalise
from wavemill.stages.tokenize.codebook import codebook_identity, load_codebook
from wavemill.stages.tokenize.fit import (
    FitSettings,
    _means,
    assign,
    files_under,
    fit_codebook,
    kmeans,
    main,
    sample_vectors,
    shifted_stacks,
)


def clips(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(16_000)).astype(np.float32) for _ in range(count)]


def groups(centres: int = 5, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    middles = 100.0 * np.eye(centres, 8)
    points = np.repeat(middles, each, axis=0) + rng.normal(0, 0.1, (centres * each, 8))
    return points.astype(np.float32), middles


def test_kmeans_finds_groups_that_are_apart() -> None:
    points, middles = groups()
    # Two centroids may begin in one group and stay there, so the best of a few starts counts.
    fits = [kmeans(points, FitSettings(size=5), np.random.default_rng(seed)) for seed in range(10)]
    best = min(fits, key=lambda fit: fit.rmse)
    found = best.centroids[np.argsort(best.centroids.argmax(axis=1))]
    np.testing.assert_allclose(found, middles, atol=0.1)
    assert best.rmse == pytest.approx(0.1, rel=0.2)


def test_more_centroids_never_fit_worse_and_none_stays_empty() -> None:
    vectors = shifted_stacks(np.concatenate(clips(10)))
    rmse = []
    for size in (4, 16, 64):
        fit = kmeans(vectors, FitSettings(size=size), np.random.default_rng(0))
        labels, _ = assign(vectors, fit.centroids)
        assert len(set(labels.tolist())) == size
        rmse.append(fit.rmse)
    assert rmse == sorted(rmse, reverse=True)


def test_an_empty_cluster_takes_the_vector_that_is_served_worst() -> None:
    vectors = np.array([[0.0], [1.0], [9.0]], np.float32)
    labels, distances = np.array([0, 0, 0]), np.array([0.0, 1.0, 81.0])
    np.testing.assert_allclose(_means(vectors, labels, distances, 2), [[10 / 3], [9.0]])


def test_the_same_audio_and_seed_give_the_same_codebook() -> None:
    settings = FitSettings(size=8, seed=3)
    first, again = (fit_codebook(clips(), settings) for _ in range(2))
    np.testing.assert_array_equal(first.centroids, again.centroids)
    other = fit_codebook(clips(), FitSettings(size=8, seed=4))
    assert not np.array_equal(first.centroids, other.centroids)


def test_too_little_audio_is_an_error() -> None:
    with pytest.raises(ValueError, match="no audio"):
        fit_codebook([], FitSettings(size=8))
    with pytest.raises(ValueError, match="too few"):
        fit_codebook(clips(1), FitSettings(size=1000))


def test_stacks_begin_at_every_frame() -> None:
    clip = clips(1)[0]
    stacks = shifted_stacks(clip)
    frames = normalise(log_mel(clip, 50))
    assert stacks.shape == (47, 4 * N_MELS)
    np.testing.assert_array_equal(stacks[5], frames[5:9].ravel())
    assert shifted_stacks(clip[:1000]).shape == (0, 4 * N_MELS)


def test_a_sample_is_bounded_uniform_and_without_repeats() -> None:
    parts = [np.arange(start, start + 10)[:, None] for start in range(0, 1000, 10)]
    counts = np.zeros(1000)
    for seed in range(200):
        sample = sample_vectors(parts, 50, np.random.default_rng(seed))[:, 0]
        assert len(set(sample.tolist())) == len(sample) == 50
        counts[sample] += 1
    assert abs(counts[:500].sum() - counts[500:].sum()) < 500  # 10,000 draws: 5 deviations
    assert len(sample_vectors(parts, 10_000, np.random.default_rng(0))) == 1000


def test_the_command_writes_a_codebook_of_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    for index, clip in enumerate(clips()):
        soundfile.write(tmp_path / f"{index}.wav", clip, 16_000)
    (tmp_path / "notes.txt").write_text("no audio", encoding="utf-8")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    out, again = tmp_path / "codebook.npz", tmp_path / "again.npz"
    arguments = ["--size", "8", "--exclude", "2[.]wav", str(tmp_path)]
    assert main(["--out", str(out), *arguments]) == 0
    assert "8 tokens from 94 stacks" in capsys.readouterr().out
    codebook = load_codebook(out)
    assert codebook.centroids.shape == (8, 4 * N_MELS)
    assert "--exclude '2[.]wav'" in codebook.metadata["command"]
    assert main(["--out", str(again), "--seed", "1", *arguments]) == 0
    assert codebook_identity(out) != codebook_identity(again)
    assert main(["--out", str(out), "--size", "9999", str(tmp_path)]) == 2


def test_files_come_once_and_by_name(tmp_path: Path) -> None:
    for name in ("b.flac", "a.WAV", "c.json"):
        (tmp_path / name).touch()
    found = files_under([tmp_path, tmp_path / "b.flac"], None)
    assert [file.name for file in found] == ["a.WAV", "b.flac"]
