from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.model.detokenizer.made import BANDS, CONFIG, fill, scattered
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import ChunkSolver
from wavemill.model.train.speech.flow import FlowLearner, FlowSettings, random_chunks, visible


@given(st.integers(0, 10_000), st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_chunks_have_the_lengths_asked_for(seed: int, lengths: list[int]) -> None:
    draw = torch.Generator().manual_seed(seed)
    chunks = random_chunks(torch.tensor(lengths), 25, 150, 4, draw)
    assert chunks.shape == (len(lengths), max(lengths))
    for row in chunks:
        _, sizes = row.unique_consecutive(return_counts=True)
        assert (row.diff() >= 0).all()
        assert all(28 <= size <= 148 and size % 4 == 0 for size in sizes[:-1].tolist())
        assert int(sizes[-1]) <= 148


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
def test_frames_see_their_chunk_and_what_the_history_keeps(
    seed: int, length: int, history: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    chunks = random_chunks(torch.tensor([40]), 4, 12, 4, draw)
    real = torch.arange(40)[None] < length
    earlier, own = (part[0, 0] for part in visible(chunks, real, history))
    first = 0
    for size in chunks[0].unique_consecutive(return_counts=True)[1].tolist():
        kept = [p for p in range(max(0, first - history), first) if p < length]
        for frame in range(first, first + size):
            assert earlier[frame].nonzero()[:, 0].tolist() == kept
            seen = {p for p in range(first, first + size) if p < length} | {frame}
            assert set(own[frame].nonzero()[:, 0].tolist()) == seen
        first += size


def test_training_sees_what_the_stream_sees() -> None:
    """One pass over all chunks gives the velocities that the solver has chunk by chunk."""
    flow = FlowNetwork(CONFIG.flow)
    fill(flow)
    sizes, history = [8, 12, 4, 16], 16
    frames = sum(sizes)
    clean = scattered(frames * BANDS, 1).view(1, frames, BANDS)
    noisy = scattered(frames * BANDS, 2).view(1, frames, BANDS)
    tokens = torch.arange(frames)[None] // 4 % 32
    chunks = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))[None]
    learner = FlowLearner(
        flow, BigVgan(CONFIG.vocoder), FlowSettings(chunked=True, history_frames=history)
    )
    real = torch.ones(1, frames, dtype=torch.bool)
    found = learner.behind_clean(noisy, clean, tokens, real, torch.tensor([437]), chunks)
    solver = ChunkSolver(flow, StreamSettings())
    past = History.empty(flow)
    first = 0
    for size in sizes:
        span = slice(first, first + size)
        wanted, _ = solver.evaluate(noisy[0, span], tokens[0, span], 437, past, past.past(flow))
        torch.testing.assert_close(found[0, span], wanted, atol=1e-4, rtol=1e-4)
        past = solver.observe(clean[0, span], tokens[0, span], past).recent(history)
        first += size


def test_padding_changes_nothing() -> None:
    flow = FlowNetwork(CONFIG.flow)
    fill(flow)
    learner = FlowLearner(flow, BigVgan(CONFIG.vocoder), FlowSettings(chunked=True))
    clean, noisy = (scattered(2 * 24 * BANDS, s).view(2, 24, BANDS) for s in (1, 2))
    tokens, chunks = torch.ones(2, 24, dtype=torch.int64), (torch.arange(24) // 8).expand(2, -1)
    real = torch.arange(24) < torch.tensor([[24], [12]])
    time = torch.tensor([100, 900])
    both = learner.behind_clean(noisy, clean, tokens, real, time, chunks)
    alone = learner.behind_clean(
        noisy[1:, :12], clean[1:, :12], tokens[1:, :12], real[1:, :12], time[1:], chunks[1:, :12]
    )
    torch.testing.assert_close(both[1, :12], alone[0], atol=1e-4, rtol=1e-4)
