"""Bayesian clustering of voice statistics in time: how many speakers, and who speaks when.

A hidden Markov model whose states are speakers; each has a voice with a Gaussian prior, and
the posterior over voices and over the state sequence is found by variational Bayes (Landini et
al., Bayesian HMM clustering of x-vector sequences, 2022, there over embeddings; here over the
additive statistics of a phonetic model). The evidence bound decides the number of speakers:
runs from several starting points are compared, and a further speaker must pay for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Matrix = NDArray[np.float64]


class ClusteringConfig(BaseModel):
    """Constants of the model.

    The four that decide the number of speakers (the first four) were chosen on the meeting
    extracts, original and after RNNoise together, in the middle of the range of costs that
    tells conversations from monologues; benchmarks/diarization.md has leave-one-out figures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Neighbouring frames are not independent, so their evidence counts for less.
    evidence_scale: float = Field(0.8, gt=0, le=1)
    between_ratio: float = Field(2.0, gt=0)  # variance between voices / that of 1.5 s of one
    stay: float = Field(0.8, gt=0, lt=1)  # chance that a block has the speaker of the last
    speaker_cost: float = Field(9.0, ge=0)  # nats of evidence that each further speaker must add
    starts: tuple[int, ...] = (2, 3, 4, 6, 8, 12)  # numbers of clusters to start from
    max_rounds: int = Field(30, ge=1)
    tolerance: float = Field(1e-3, gt=0)  # nats
    min_share: float = Field(1e-3, gt=0, lt=1)  # states entered less often are dropped
    max_start_chunks: int = Field(8000, ge=2)  # pairwise distances are quadratic in memory


@dataclass(frozen=True, slots=True)
class _Result:
    shares: Matrix  # (blocks, speakers) posterior
    evidence: float


def cluster(
    first: Matrix, precision: Matrix, chunks: NDArray[np.int64], config: ClusteringConfig
) -> NDArray[np.int64]:
    """Return a speaker number per block, (n,) int64, numbered by first appearance.

    `first` and `precision` are (n, d): additive statistics of blocks in time order, whitened
    so that 1.5 s of one speaker deviate with variance 1 (`precision` of 1.5 s is about 1).
    `chunks` (n,) groups consecutive blocks for the start; non-decreasing.
    """
    if len(first) == 0:
        return np.zeros(0, np.int64)
    first, precision = first * config.evidence_scale, precision * config.evidence_scale
    best = _infer(first, precision, np.ones((len(first), 1)), config)
    tree = _ward_tree(first, precision, chunks, config)
    if tree is not None:
        for count in config.starts:
            start = _start(tree, chunks, count)
            if start.shape[1] < 2:
                continue
            found = _infer(first, precision, start, config)
            if _worth(found, config) > _worth(best, config):
                best = found
    _, labels = np.unique(_by_appearance(best.shares.argmax(axis=1)), return_inverse=True)
    return labels.astype(np.int64)


def _worth(result: _Result, config: ClusteringConfig) -> float:
    return result.evidence - config.speaker_cost * (result.shares.shape[1] - 1)


def _by_appearance(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    _, index, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(index))[inverse]


def _ward_tree(
    first: Matrix, precision: Matrix, chunks: NDArray[np.int64], config: ClusteringConfig
) -> Matrix | None:
    from scipy.cluster.hierarchy import linkage

    groups = _groups(chunks, config.max_start_chunks)
    if groups[-1] < 1:
        return None
    sums = [np.zeros((groups[-1] + 1, first.shape[1])) for _ in range(2)]
    np.add.at(sums[0], groups, first)
    np.add.at(sums[1], groups, precision)
    voices = sums[0] / (sums[1] + 1 / config.between_ratio)
    return np.asarray(linkage(voices, "ward"))


def _groups(chunks: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Number the chunks from 0, several neighbours together when there are more than `limit`."""
    _, numbers = np.unique(chunks, return_inverse=True)
    return numbers // -(-(int(np.max(numbers)) + 1) // limit)


def _start(tree: Matrix, chunks: NDArray[np.int64], count: int) -> Matrix:
    from scipy.cluster.hierarchy import fcluster

    groups = _groups(chunks, len(tree) + 1)
    labels = fcluster(tree, count, "maxclust")[groups] - 1
    shares = np.full((len(groups), labels.max() + 1), 0.02)  # not 0: blocks must be able to move
    shares[np.arange(len(groups)), labels] = 1
    return shares / shares.sum(axis=1, keepdims=True)


def _infer(first: Matrix, precision: Matrix, shares: Matrix, config: ClusteringConfig) -> _Result:
    """Alternate voice posteriors and state posteriors until the evidence bound stands still."""
    weights = shares.mean(axis=0)
    evidence = -np.inf
    for _ in range(config.max_rounds):
        before = evidence
        inverse = 1 / config.between_ratio + shares.T @ precision
        voice = (shares.T @ first) / inverse
        score = first @ voice.T - 0.5 * precision @ (voice**2 + 1 / inverse).T
        shares, entries, likelihood = _forward_backward(score, weights, config.stay)
        relative = inverse * config.between_ratio
        second = (voice**2 + 1 / inverse) / config.between_ratio
        evidence = likelihood - 0.5 * float(np.sum(np.log(relative) + second - 1))
        weights = entries / entries.sum()
        kept = weights > config.min_share
        if not kept.all():
            shares, weights = shares[:, kept], weights[kept] / weights[kept].sum()
            shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-30)
        elif abs(evidence - before) < config.tolerance:
            break
    return _Result(shares, evidence)


def _forward_backward(score: Matrix, weights: Matrix, stay: float) -> tuple[Matrix, Matrix, float]:
    """Return state posteriors (n, s), expected entries into each state (s,), log likelihood.

    Transitions: stay with probability `stay`, else draw a state from `weights`.
    """
    if score.shape[1] == 1:
        return np.ones_like(score), np.ones(1), float(score.sum())
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
    for t in range(len(score) - 2, -1, -1):
        ahead = emission[t + 1] * state / norms[t + 1]
        backward[t] = state = stay * ahead + jump @ ahead
    shares = forward * backward
    entered = jump * (emission[1:] * backward[1:] / norms[1:, None]).sum(axis=0)
    likelihood = float(np.log(norms).sum() + top.sum())
    return shares / shares.sum(axis=1, keepdims=True), shares[0] + entered, likelihood
