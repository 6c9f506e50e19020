"""Who speaks when, from embeddings: hierarchical clustering, then a Bayesian hidden Markov model.

VBx (Landini et al., Bayesian HMM clustering of x-vector sequences, 2022, arXiv 2012.14952) with
one variance for all dimensions. Too many clusters to start with, by average linkage over long
windows; then speakers are the states of a hidden Markov model over short cells of speech, a voice
has a Gaussian prior, and variational Bayes takes away the states that do not pay for themselves.

Linkage takes memory and time with the square of what it links, so it works within batches of
bounded length, whose speakers are linked afterwards; the rest is linear in the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wavemill.stages.diarize.spans import Span

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]
Embed = Callable[[Sequence[Span]], NDArray[np.float32]]

_START_SHARE = 7.0  # of the first clusters: exp(7) to 1, as in VBx


class ClusteringConfig(BaseModel):
    """Constants, chosen on recordings of known speakers (benchmarks/diarization.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_ms: int = Field(2000, ge=200)  # of speech, that the first clusters are made of
    hop_ms: int = Field(750, ge=50)  # from one window to the next
    start_similarity: float = Field(0.55, ge=-1, le=1)  # first clusters more alike are one
    cell_ms: int = Field(250, ge=50)  # resolution of speaker changes
    around_ms: int = Field(800, ge=100)  # what is heard for a cell, the cell in the middle
    voice_precision: float = Field(784.0, gt=0)  # 1 / variance of a cell's voice, per dimension
    between_ratio: float = Field(2.0, gt=0)  # variance between voices / that within one
    # Cells share what is heard, and dimensions are not independent: evidence counts for less.
    evidence_scale: float = Field(0.15, gt=0)
    prior_scale: float = Field(6.0, gt=0)  # weight of the voices' prior: higher, fewer speakers
    stay: float = Field(0.8, gt=0, lt=1)  # chance that a cell has the speaker of the last
    max_rounds: int = Field(15, ge=1)
    tolerance: float = Field(0.01, gt=0)  # nats
    min_share: float = Field(1e-3, gt=0, lt=1)  # states entered less often are dropped
    batch_ms: int = Field(900_000, ge=10_000)  # speech that is clustered at once
    link_similarity: float = Field(0.7, ge=-1, le=1)  # speakers of batches more alike are one


def cluster(
    speech: Sequence[Span], embed: Embed, config: ClusteringConfig
) -> tuple[list[Span], Labels]:
    """Return cells of the speech in time order, and the speaker of each, (n,) int64.

    `speech` is in time order without overlap; `embed` gives unit vectors. Speakers are numbered
    from 0 by first appearance.
    """
    cells = cut_cells(speech, config.cell_ms)
    if not cells:
        return [], np.zeros(0, np.int64)
    half = config.around_ms // 2
    middles = [(start + end) // 2 for start, end in cells]
    vectors = embed([(max(0, m - half), m + half) for m in middles])
    edges = batch_edges(cells, config.batch_ms)
    parts: list[Labels] = []
    for first, last in pairwise(edges):
        start = _first_clusters(cells[first:last], embed, config)
        parts.append(resegment(vectors[first:last], start, config))
    labels = parts[0]
    if len(parts) > 1:
        linked = link(vectors, parts, config.link_similarity)
        # Who speaks in one batch only has a small share of the whole.
        share = config.min_share / len(parts)
        labels = resegment(vectors, linked, config.model_copy(update={"min_share": share}))
    return cells, _by_appearance(labels)


def cut_cells(speech: Sequence[Span], cell_ms: int) -> list[Span]:
    """Cut each span into equal cells of about `cell_ms`."""
    cells: list[Span] = []
    for start, end in speech:
        count = max(1, round((end - start) / cell_ms))
        cells += pairwise(start + (end - start) * i // count for i in range(count + 1))
    return cells


def batch_edges(cells: Sequence[Span], batch_ms: int) -> list[int]:
    """Return the numbers of the cells where batches of equal speech begin, and the end."""
    spoken = np.cumsum([end - start for start, end in cells])
    count = -(-int(spoken[-1]) // batch_ms)
    inner = np.searchsorted(spoken, spoken[-1] * np.arange(1, count) / count)
    return sorted({0, *inner.tolist(), len(cells)})


def _first_clusters(cells: Sequence[Span], embed: Embed, config: ClusteringConfig) -> Labels:
    """Cluster windows by average linkage; each cell takes the cluster of the nearest window."""
    from scipy.cluster.hierarchy import fcluster, linkage

    windows = _windows(cells, config.window_ms, config.hop_ms)
    if len(windows) < 2:
        return np.zeros(len(cells), np.int64)
    tree = np.maximum(linkage(embed(windows), "average", metric="cosine"), 0)
    labels = fcluster(tree, 1 - config.start_similarity, "distance")
    middles = np.array(windows).mean(axis=1)
    wanted = np.array(cells).mean(axis=1)
    after = np.clip(np.searchsorted(middles, wanted), 1, len(middles) - 1)
    before = after - 1
    nearer = np.abs(middles[before] - wanted) <= np.abs(middles[after] - wanted)
    return np.asarray(labels[np.where(nearer, before, after)], np.int64)


def _windows(cells: Sequence[Span], window_ms: int, hop_ms: int) -> list[Span]:
    """Return windows over each stretch of touching cells; a shorter one is a window as it is."""
    stretches: list[Span] = []
    for start, end in cells:
        if stretches and stretches[-1][1] == start:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    windows: list[Span] = []
    for start, end in stretches:
        if end - start <= window_ms:
            windows.append((start, end))
            continue
        count = max(1, round((end - start - window_ms) / hop_ms))
        firsts = np.linspace(start, end - window_ms, count + 1).astype(int).tolist()
        windows += [(first, first + window_ms) for first in firsts]
    return windows


def link(vectors: NDArray[np.float32], parts: Sequence[Labels], similarity: float) -> Labels:
    """Give speakers of successive batches one number where their mean voices are alike."""
    from scipy.cluster.hierarchy import fcluster, linkage

    own, offset = [], 0
    for labels in parts:
        _, numbers = np.unique(labels, return_inverse=True)
        own.append(numbers + offset)
        offset += int(numbers.max()) + 1
    labels = np.concatenate(own)
    if offset < 2:
        return labels
    sums = np.zeros((offset, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    tree = np.maximum(linkage(sums, "average", metric="cosine"), 0)
    return np.asarray(fcluster(tree, 1 - similarity, "distance")[labels], np.int64)


def resegment(vectors: NDArray[np.float32], start: Labels, config: ClusteringConfig) -> Labels:
    """Return the likeliest speaker of each cell, (n,), from the clusters to start with, (n,).

    `vectors` is (n, d), the voices of cells in time order.
    """
    _, numbers = np.unique(start, return_inverse=True)
    states = int(numbers.max()) + 1
    shares = np.full((len(numbers), states), np.exp(-_START_SHARE))
    shares[np.arange(len(numbers)), numbers] = 1
    shares /= shares.sum(axis=1, keepdims=True)
    weights, bound = np.full(states, 1 / states), -np.inf
    between, scale = config.between_ratio, config.evidence_scale / config.prior_scale
    scaled = vectors.astype(np.float32) * np.float32(np.sqrt(config.voice_precision * between))
    dimensions = vectors.shape[1]
    for _ in range(config.max_rounds):
        before = bound
        variance = 1 / (1 + scale * between * shares.sum(axis=0))
        voices = scale * variance[:, None] * (shares.T.astype(np.float32) @ scaled)
        lengths = np.sum(voices**2, axis=1)
        cost = 0.5 * between * (dimensions * variance + lengths)
        score = scaled @ voices.T.astype(np.float32) - cost
        evidence = config.evidence_scale * score
        shares, weights, likelihood = forward_backward(evidence, weights, config.stay)
        prior = dimensions * (np.log(variance) - variance + 1) - lengths
        bound = likelihood + 0.5 * config.prior_scale * float(np.sum(prior))
        kept = weights > config.min_share
        if not kept.all():
            shares, weights = shares[:, kept], weights[kept] / weights[kept].sum()
            shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-30)
        elif abs(bound - before) < config.tolerance:
            break
    return np.asarray(shares.argmax(axis=1), np.int64)


def forward_backward(score: Matrix, weights: Matrix, stay: float) -> tuple[Matrix, Matrix, float]:
    """Return state posteriors (n, s), the share of entries into each state (s,), log likelihood.

    `score` (n, s) are log likelihoods of the cells. Transitions: stay with probability
    `stay`, else draw a state from `weights`.
    """
    top = score.max(axis=1)
    emission = np.exp(score - top[:, None])
    forward, norms = np.empty_like(score), np.empty(len(score))
    jump = (1 - stay) * weights
    state = weights * emission[0]
    for t in range(len(score)):
        if t:
            state = (stay * state + jump) * emission[t]
        norms[t] = total = state.sum()
        forward[t] = state = state / total
    backward = np.ones_like(score)
    state = backward[-1]
    for t in range(len(score) - 1, 0, -1):
        ahead = emission[t] * state / norms[t]
        backward[t - 1] = state = stay * ahead + jump @ ahead
    shares = forward * backward
    shares /= shares.sum(axis=1, keepdims=True)
    entries = shares[0] + jump * ((1 / norms[1:]) @ (emission[1:] * backward[1:]))
    return shares, entries / entries.sum(), float(np.log(norms).sum() + top.sum())


def _by_appearance(labels: Labels) -> Labels:
    _, index, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(index))[inverse]
