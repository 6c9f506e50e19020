from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from wavemill.model.train.speech.tokenizer import CodebookSettings, MovingCodebook, perplexity

WIDTH = 3


def fresh(size: int, decay: float = 0.9, dead_after: int = 5) -> tuple[MovingCodebook, list]:
    moving = MovingCodebook(size, WIDTH, CodebookSettings(decay=decay, dead_after_steps=dead_after))
    return moving, [torch.zeros(size, WIDTH), torch.zeros(size), torch.zeros(size, WIDTH)]


def step(moving: MovingCodebook, state: list, hidden: torch.Tensor, number: int) -> int:
    codes = torch.cdist(hidden, state[0]).argmin(1)
    moving.collect(hidden, codes)
    return moving.update(*state, number)


@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 20), st.floats(0, 0.99))
def test_codes_stay_among_the_states(seed: int, size: int, rows: int, decay: float) -> None:
    moving, state = fresh(size, decay)
    torch.manual_seed(seed)
    seen = []
    for number in range(8):
        hidden = torch.randn(rows, WIDTH) + 5
        seen.append(hidden)
        step(moving, state, hidden, number)
    among = torch.cat(seen)
    chosen = state[0][state[1] > 0]
    assert len(chosen)
    assert (chosen >= among.min(0).values - 1e-4).all()
    assert (chosen <= among.max(0).values + 1e-4).all()


@given(st.integers(0, 1000), st.integers(1, 6))
def test_micro_batches_make_one_step(seed: int, parts: int) -> None:
    torch.manual_seed(seed)
    hidden, codes = torch.randn(12, WIDTH), torch.randint(4, (12,))
    whole, split = fresh(4), fresh(4)
    for moving, state in (whole, split):
        state[0].normal_(generator=torch.Generator().manual_seed(1))
        moving.idle.zero_()
    whole[0].collect(hidden, codes)
    for h, c in zip(hidden.chunk(parts), codes.chunk(parts), strict=True):
        split[0].collect(h, c)
    whole[0].update(*whole[1], 0)
    split[0].update(*split[1], 0)
    assert all(torch.equal(a, b) for a, b in zip(whole[1], split[1], strict=True))


def test_codes_find_the_means_of_clusters() -> None:
    moving, state = fresh(3, decay=0.8)
    centres = torch.tensor([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]])
    for number in range(80):
        torch.manual_seed(number)
        step(moving, state, (centres.repeat(40, 1) + 0.1 * torch.randn(120, WIDTH)), number)
    found = state[0][state[0].sum(1).argsort()]
    assert torch.cdist(centres, found).min(1).values.max() < 0.1


def test_dead_codes_come_to_life_where_states_are() -> None:
    moving, state = fresh(8, dead_after=3)
    hidden = torch.randn(20, WIDTH, generator=torch.Generator().manual_seed(0))
    # All are dead at first; the first of equals is chosen, and becomes the mean.
    assert step(moving, state, hidden, 0) == 7
    assert float(moving.alive()) == 1.0
    torch.testing.assert_close(state[0][0], hidden.mean(0))
    assert all((row == hidden).all(1).any() for row in state[0][1:])
    alone = hidden[:1]
    revived = [step(moving, state, alone, number) for number in range(1, 7)]
    assert revived[:2] == [0, 0]
    assert revived[2] == 1  # one state revives one code, the others wait
    assert float(moving.alive()) < 1.0


def test_the_same_seed_revives_the_same() -> None:
    hidden = torch.randn(20, WIDTH)
    first, second = fresh(8), fresh(8)
    for moving, state in (first, second):
        step(moving, state, hidden, 7)
    assert torch.equal(first[1][0], second[1][0])


def test_perplexity_counts_codes() -> None:
    assert float(perplexity(torch.ones(16))) == 16
    assert abs(float(perplexity(torch.tensor([1.0, 0, 0]))) - 1) < 1e-6
