"""A stream in overlapping windows, cross-faded: memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]  # float32 (windows, samples) to the same shape


@dataclass(frozen=True)
class WindowPlan:
    """Lengths in samples: a window, what it shares with the next, and how many go in a batch."""

    window: int
    overlap: int
    batch: int

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.overlap <= self.window or self.window < 1 or self.batch < 1:
            raise ValueError(
                "windows must be longer than two overlaps, a batch at least one window"
            )

    @property
    def step(self) -> int:
        return self.window - self.overlap

    @property
    def span(self) -> int:
        """Samples under a whole batch."""
        return self.batch * self.step + self.overlap


def in_windows(blocks: Iterable[np.ndarray], plan: WindowPlan, run: Run) -> Iterator[np.ndarray]:
    """Pass a stream of float32 (samples,) through `run` window by window; the length is kept.

    Where two windows overlap, one fades out linearly while the next fades in. `run` gets whole
    windows, `plan.batch` at a time as long as there are so many; the last window is alone and
    shorter, but longer than an overlap, unless the whole stream is. At most a batch of windows and
    the block that completes it are held, and how the stream is cut into blocks does not matter.
    """
    fader = _Fader(plan.overlap)
    parts: list[np.ndarray] = []
    held = 0
    for block in blocks:
        parts.append(block)
        held += block.size
        if held <= plan.span:
            continue
        rest = np.concatenate(parts)
        while rest.size > plan.span:
            yield fader.join(run(_cut(rest, plan, plan.batch)))
            rest = rest[plan.batch * plan.step :]
        parts, held = [rest.copy()], rest.size  # a copy frees what has been worked off
    if not held:
        return
    rest = np.concatenate(parts)
    whole = max(0, -(-(rest.size - plan.window) // plan.step))
    if whole:
        yield fader.join(run(_cut(rest, plan, whole)))
    yield fader.join(run(rest[None, whole * plan.step :]), last=True)


def _cut(samples: np.ndarray, plan: WindowPlan, count: int) -> np.ndarray:
    starts = np.arange(count) * plan.step
    return np.stack([samples[start : start + plan.window] for start in starts])


class _Fader:
    """Joins windows; keeps the faded end of the latest for the next."""

    def __init__(self, overlap: int) -> None:
        self.overlap = overlap
        # Neither 0 nor 1 at its ends, so that the ramp is the same in both directions; these are
        # the weights of demucs.apply.apply_model, too.
        self.rise = (np.arange(1, overlap + 1) / (overlap + 1)).astype(np.float32)
        self.end: np.ndarray | None = None

    def join(self, windows: np.ndarray, last: bool = False) -> np.ndarray:
        """Return what is final after these windows (count, samples); with `last`, everything."""
        done = []
        for number, window in enumerate(windows):
            ready = window.copy()
            if self.end is not None:
                ready[: self.overlap] = ready[: self.overlap] * self.rise + self.end
            keep = ready.size - self.overlap
            if last and number == len(windows) - 1:
                keep = ready.size
            self.end = ready[keep:] * (1 - self.rise) if keep < ready.size else None
            done.append(ready[:keep])
        return np.concatenate(done)
