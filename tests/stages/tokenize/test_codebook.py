"""Codebooks: nearest centroids, files, the one that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.model.tokenizer.kmeans import FRAMES_PER_TOKEN, N_MELS, tokens_in
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.tokenize.codebook import (
    SHIPPED,
    Codebook,
    codebook_identity,
    load_codebook,
    save_codebook,
)
from wavemill.stages.tokenize.kmeans import KMeans, KMeansConfig

WIDTH = FRAMES_PER_TOKEN * N_MELS
LARGEST_FILE = 2_000_000  # bytes


def small_codebook(seed: int = 0) -> Codebook:
    values = np.random.default_rng(seed).normal(-20, 10, (16, WIDTH))
    return Codebook(values.astype(np.float16).astype(np.float32), {"seed": seed})


@pytest.fixture(scope="module")
def engine() -> KMeans:
    loaded = KMeans(KMeansConfig())
    loaded.load("cpu")
    return loaded


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_nearest_is_the_centroid_at_the_smallest_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    codebook = small_codebook()
    stacks = np.random.default_rng(1).normal(-20, 10, (50, WIDTH)).astype(np.float32)
    distances = ((stacks[:, None, :] - codebook.centroids[None]) ** 2).sum(axis=2)
    monkeypatch.setattr("wavemill.model.tokenizer.kmeans.VECTORS_AT_ONCE", 7)
    np.testing.assert_array_equal(codebook.nearest(stacks), distances.argmin(axis=1))


def test_a_centroid_is_its_own_token() -> None:
    codebook = small_codebook()
    tokens = codebook.nearest(codebook.centroids)
    assert tokens.tolist() == list(range(16))


def test_a_file_holds_all_of_it_and_its_bytes_are_its_identity(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first.npz", "again.npz", "other.npz"))
    save_codebook(first, small_codebook())
    save_codebook(again, small_codebook())
    save_codebook(other, small_codebook(seed=1))
    read = load_codebook(first)
    np.testing.assert_array_equal(read.centroids, small_codebook().centroids)
    assert read.metadata == {"seed": 0}
    assert codebook_identity(first) == codebook_identity(again) != codebook_identity(other)


def test_a_missing_codebook_says_how_to_fit_one(tmp_path: Path) -> None:
    engine = KMeans(KMeansConfig(codebook=tmp_path / "none.npz"))
    for call in (engine.weights_identity, lambda: engine.load("cpu")):
        with pytest.raises(EngineUnavailable, match=r"stages\.tokenize\.fit"):
            call()


@pytest.mark.parametrize("content", ["empty", "text", "pickle", "shape", "not a number"])
def test_a_file_that_is_no_codebook_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.npz"
    centroids = np.zeros((4, WIDTH), np.float16)
    if content == "empty":
        path.write_bytes(b"")
    elif content == "text":
        path.write_text("centroids", encoding="utf-8")
    elif content == "pickle":
        np.savez(path, centroids=np.array([{"a": 1}], dtype=object), metadata=np.array("{}"))
    elif content == "shape":
        np.savez(path, centroids=centroids[:, :3], metadata=np.array("{}"))
    else:
        np.savez(path, centroids=centroids * np.nan, metadata=np.array("{}"))
    with pytest.raises(EngineUnavailable, match=r"bad\.npz"):
        load_codebook(path)


def test_the_shipped_codebook_is_small_and_says_how_it_was_fitted(engine: KMeans) -> None:
    assert SHIPPED.stat().st_size < LARGEST_FILE
    assert engine.vocab_size == engine.codebook.metadata["size"] == 2048
    assert engine.codebook.metadata["command"].startswith("python -m stages.tokenize.fit")
    assert KMeans(KMeansConfig()).weights_identity().startswith("sha256:")


@given(duration_ms=st.integers(1, 3000), short_by=st.integers(0, 1000))
def test_a_segment_has_a_token_for_every_80_ms_that_began(
    engine: KMeans, duration_ms: int, short_by: int
) -> None:
    clip = noise(max(0, duration_ms * 16 - short_by))
    count = tokens_in(duration_ms)
    tokens = engine.tokens([clip], [count])[0]
    assert tokens.shape == (-(-duration_ms // 80),)
    assert tokens.dtype == np.int32
    assert tokens.min() >= 0
    assert tokens.max() < engine.vocab_size


def test_tokens_depend_on_their_own_clip_and_not_on_its_gain(engine: KMeans) -> None:
    first, second = noise(16_000), noise(8_000, seed=1)
    together = engine.tokens([first, second], [13, 7])
    np.testing.assert_array_equal(together[0], engine.tokens([first], [13])[0])
    np.testing.assert_array_equal(together[1], engine.tokens([second], [7])[0])
    np.testing.assert_array_equal(together[0], engine.tokens([0.25 * first], [13])[0])
