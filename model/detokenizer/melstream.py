"""Tokens to mel frames, chunk by chunk, each behind the frames before it (report section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wavemill.model.detokenizer.config import FlowConfig, StreamSettings
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import ChunkSolver, Noise, denormalise


class MelStream:
    """One utterance: give it tokens as they come, it solves a chunk as soon as it can.

    The first chunk needs `chunk_tokens` tokens, a later one as many again; of what is at hand, all
    but the last `look_ahead_tokens` become frames. Frames depend on the tokens, the noise and the
    voice, not on the pieces in which tokens arrive. What is mended of the published stream:

    - a frame has one noise, also when it is solved first as look-ahead and then for good;
    - the history holds clean frames, with and without look-ahead;
    - the voice stays in the history; what leaves is the oldest of the rest;
    - positions count from the start of the history, so there is no limit and nothing is reset;
    - the state is float32 whatever the network's dtype.

    Before the first frame leaves the history, and with the same noise, the frames are those of
    `PublishedMelStream`.
    """

    def __init__(
        self, solver: ChunkSolver, settings: StreamSettings, noise: Noise, history: History
    ) -> None:
        self.solver = solver
        self.settings = settings
        self.draw = noise
        self.history = history
        config = solver.network.config
        self.tokens = torch.zeros(0, dtype=torch.int64)
        self.noise = torch.zeros(0, config.input_size)
        self.wanted = settings.chunk_tokens
        chunk = (settings.chunk_tokens + settings.look_ahead_tokens) * settings.frames_per_token
        if settings.cache_frames + chunk > config.max_positions:
            raise ValueError(
                f"cache_frames and a chunk with its look-ahead are {settings.cache_frames + chunk} "
                f"frames; the network knows {config.max_positions} positions"
            )

    def push(self, tokens: Sequence[int] | Tensor, final: bool = False) -> Tensor:
        """Return the log-mel frames that can be solved now: float32 (frames, bands), maybe none.

        `tokens` in 0 ... semantic_vocab_size - 1, any number of them. `final` solves all the rest.
        Raises ValueError for a token outside the vocabulary.
        """
        self.tokens = torch.cat((self.tokens, checked_tokens(tokens, self.solver.network.config)))
        ahead = self.settings.look_ahead_tokens
        mels = [self.noise.new_zeros(0, self.noise.shape[1]).to(self.solver.device)]
        while len(self.tokens) >= self.wanted:
            mels.append(self._solve(self.wanted, self.wanted - ahead))
            self.wanted = self.settings.chunk_tokens + ahead
        if final and len(self.tokens):
            mels.append(self._solve(len(self.tokens), len(self.tokens)))
        return torch.cat(mels)

    def _solve(self, count: int, kept: int) -> Tensor:
        """Solve the first `count` tokens and return the frames of the first `kept` of them."""
        repeats = self.settings.frames_per_token
        tokens = self.tokens[:count].repeat_interleave(repeats)
        noise = torch.cat((self.noise, self.draw(len(tokens) - len(self.noise))))
        solved, _ = self.solver.solve(tokens, noise, self.history)
        frames = kept * repeats
        clean = solved[:frames]
        history = self.solver.observe(clean, tokens[:frames], self.history)
        self.history = history.recent(self.settings.cache_frames).renumbered()
        self.tokens, self.noise = self.tokens[kept:], noise[frames:]
        return denormalise(clean, self.solver.network.config)


class PublishedMelStream:
    """The published stream (fixtures: detokenizer, sections 3, 4, 6 and 7): the caller cuts chunks.

    Each call draws fresh noise for the whole span. Without look-ahead the history gets keys and
    values of the last evaluation, of frames that are not finished. The oldest frames leave the
    history first, the voice among them. Near `position_limit` the history becomes what the voice
    left. One thing is not as published: a second such reset restores the voice as the first did,
    where the published code attends to frames of later audio by mistake.
    """

    def __init__(
        self, solver: ChunkSolver, settings: StreamSettings, noise: Noise, history: History
    ) -> None:
        self.solver = solver
        self.settings = settings
        self.draw = noise
        self.start = self.history = history
        self.carry = torch.zeros(0, dtype=torch.int64)  # frames' tokens, once solved

    def push(self, tokens: Sequence[int] | Tensor, final: bool = False) -> Tensor:
        """Return a chunk's log-mel frames: (frames, bands) in the network's dtype.

        Raises ValueError for a token outside the vocabulary, and when no frame would be kept.
        """
        given = checked_tokens(tokens, self.solver.network.config)
        frame_tokens = given.repeat_interleave(self.settings.frames_per_token)
        frame_tokens = torch.cat((self.carry, frame_tokens))
        ahead = 0 if final else self.settings.look_ahead_tokens * self.settings.frames_per_token
        kept = len(frame_tokens) - ahead
        if kept <= 0:
            raise ValueError(f"{len(given)} tokens leave no frame before the look-ahead")
        noise = self.draw(len(frame_tokens))
        solved, key_values = self.solver.solve(frame_tokens, noise, self.history)
        if not final:
            self._remember(solved[:kept], frame_tokens[:kept], key_values if not ahead else None)
        self.carry = frame_tokens[kept:]
        return denormalise(solved[:kept], self.solver.network.config)

    def _remember(self, x: Tensor, tokens: Tensor, key_values: list | None) -> None:
        if key_values is None:
            history = self.solver.observe(x, tokens, self.history)
        else:
            history = self.history.extended(key_values)
        self.history = history.recent(self.settings.cache_frames)
        if self.history.next_position + 2 * len(tokens) > self.settings.position_limit:
            self.history = self.start


def checked_tokens(tokens: Sequence[int] | Tensor, config: FlowConfig) -> Tensor:
    """Return `tokens` as int64 (tokens,) on the CPU; raises ValueError outside the vocabulary."""
    found = torch.as_tensor(tokens, dtype=torch.int64, device="cpu")
    size = config.semantic_vocab_size
    wrong = found[(found < 0) | (found >= size)]
    if len(wrong):
        raise ValueError(
            f"token {int(wrong[0])} is not in 0 ... {size - 1} (the LLM's offset belongs off)"
        )
    return found
