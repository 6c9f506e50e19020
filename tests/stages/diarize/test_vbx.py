"""Clustering of embeddings in time: how many speakers, and who speaks when."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from wavemill.stages.diarize.spans import Span, length
from wavemill.stages.diarize.vbx import (
    ClusteringConfig,
    Embed,
    batch_edges,
    cluster,
    cut_cells,
    forward_backward,
    link,
)

DIMENSIONS = 192
TURN_MS = 4000


def voices(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def embedder(centres: np.ndarray, order: Sequence[int], seed: int = 1) -> Embed:
    """Voices of turns of 4 s: those of the speakers in a span, by time, and noise of the moment."""
    noise = np.random.default_rng(seed).normal(size=(len(order) * 8 + 8, DIMENSIONS)) * 0.045
    owners = np.repeat(np.asarray(order), TURN_MS // 500)
    parts = np.concatenate([centres[owners] + noise[: len(owners)], noise[-8:]])
    sums = np.concatenate([np.zeros((1, DIMENSIONS)), np.cumsum(parts, axis=0)])

    def embed(spans: Sequence[Span]) -> np.ndarray:
        edges = np.asarray(spans).reshape(-1, 2) // 500
        edges[:, 1] = np.maximum(edges[:, 1], edges[:, 0] + 1)
        edges = np.minimum(edges, len(sums) - 1)
        out = sums[edges[:, 1]] - sums[edges[:, 0]]
        return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)).astype("f4")

    return embed


def talk(order: Sequence[int]) -> list[Span]:
    return [(i * TURN_MS, (i + 1) * TURN_MS - 300) for i in range(len(order))]


def agreement(cells: Sequence[Span], labels: np.ndarray, order: Sequence[int]) -> float:
    truth = np.array([order[(start + end) // 2 // TURN_MS] for start, end in cells])
    return float((truth == labels).mean())


def test_speakers_return_under_their_number() -> None:
    order = [0, 1, 0, 2, 1, 0, 2, 1, 0, 2] * 3
    cells, labels = cluster(talk(order), embedder(voices(3), order), ClusteringConfig())
    assert labels.max() == 2
    assert agreement(cells, labels, order) > 0.9  # numbered by first appearance, as the truth is
    assert length(cells) == length(talk(order))


def test_one_speaker_stays_one_and_nobody_is_nobody() -> None:
    embed = embedder(voices(1), [0] * 30)
    assert set(cluster(talk([0] * 30), embed, ClusteringConfig())[1].tolist()) == {0}
    assert cluster([(100, 400)], embed, ClusteringConfig())[1].tolist() == [0]
    cells, labels = cluster([], embed, ClusteringConfig())
    assert (cells, labels.tolist()) == ([], [])


def test_the_same_input_gives_the_same_speakers() -> None:
    order = [0, 1, 2, 1] * 6
    runs = [cluster(talk(order), embedder(voices(3), order), ClusteringConfig()) for _ in range(2)]
    assert runs[0][0] == runs[1][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


def test_batches_are_linked() -> None:
    order = [0, 1, 2, 3] * 20
    config = ClusteringConfig(batch_ms=60_000)
    cells, labels = cluster(talk(order), embedder(voices(4), order), config)
    assert len(batch_edges(cells, config.batch_ms)) > 5
    assert labels.max() == 3
    assert agreement(cells, labels, order) > 0.9


def test_a_speaker_of_one_batch_only_is_kept() -> None:
    order = [0, 1] * 20 + [2, 0] * 20
    config = ClusteringConfig(batch_ms=80_000)
    cells, labels = cluster(talk(order), embedder(voices(3), order), config)
    assert agreement(cells, labels, order) > 0.9


def test_batches_hold_equal_shares_of_the_speech() -> None:
    cells = cut_cells([(0, 1000), (5000, 9000), (20_000, 21_100)], 250)
    assert length(cells) == 6100
    edges = batch_edges(cells, 2000)
    shares = [length(cells[a:b]) for a, b in pairwise(edges)]
    assert sum(shares) == 6100
    assert max(shares) <= 2000 + 275


def test_clusters_of_batches_are_linked_by_their_mean_voice() -> None:
    centres = voices(3).astype(np.float32)
    vectors = centres[[0, 0, 1, 1, 0, 2]]
    found = link(vectors, [np.array([5, 5, 9]), np.array([1, 0, 7])], 0.6)
    assert found[0] == found[1] == found[4]
    assert found[2] == found[3]
    assert len(set(found.tolist())) == 3


def test_time_and_memory_grow_with_the_recording_not_with_its_square() -> None:
    generator = np.random.default_rng(3)
    config = ClusteringConfig(batch_ms=120_000, max_rounds=4)
    costs: list[tuple[float, int]] = []
    for turns in (100, 400):
        order = generator.integers(0, 4, turns).tolist()
        embed, speech = embedder(voices(4), order), talk(order)
        tracemalloc.start()
        began = time.process_time()
        cluster(speech, embed, config)
        costs.append((time.process_time() - began, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    (short_s, short), (long_s, long) = costs
    assert long < 6 * short  # 16 times as much if it were quadratic
    assert long_s < 10 * short_s


@pytest.mark.parametrize("states", [1, 3])
def test_posteriors_are_those_of_all_paths(states: int) -> None:
    generator = np.random.default_rng(4)
    score, stay = generator.normal(size=(4, states)), 0.7
    weights = generator.dirichlet(np.ones(states))
    shares, entries, likelihood = forward_backward(score, weights, stay)
    expected, total = np.zeros((4, states)), 0.0
    for path in np.ndindex(*[states] * 4):
        chance = weights[path[0]] * np.exp(score[0, path[0]])
        for t in range(1, 4):
            move = (1 - stay) * weights[path[t]] + stay * (path[t] == path[t - 1])
            chance *= move * np.exp(score[t, path[t]])
        total += chance
        for t, state in enumerate(path):
            expected[t, state] += chance
    np.testing.assert_allclose(shares, expected / total, atol=1e-9)
    assert likelihood == pytest.approx(np.log(total))
    assert entries.sum() == pytest.approx(1)
