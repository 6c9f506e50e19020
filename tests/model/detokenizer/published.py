"""The published streaming with its defects, to compare with: docs/published-format.md, "Streaming".

The caller cuts the chunks. One thing is not as published: a second reset near the position limit
restores the voice as the first one did, where the published code attends to frames of later audio
by mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.detokenizer import Detokenizer, DetokenizerStream
from wavemill.model.detokenizer.flow import FlowNetwork, KeyValue
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import (
    ChunkSolver,
    EulerStep,
    Noise,
    denormalise,
    euler_steps,
    seeded_noise,
)
from wavemill.model.detokenizer.streams import Vocoder, checked_tokens, observed

SOLVERS = ("neural_ode_euler", "naive_euler")
NAIVE_SPAN = 0.9999
PADDING = 0.0  # log-mel, behind a voice that is shorter than its tokens; silence is -11.5


class PublishedSettings(StreamSettings):
    """The settings of the published loader that this project has no use for, too."""

    solver: Literal["neural_ode_euler", "naive_euler"] = "neural_ode_euler"
    position_limit: int = Field(4096, ge=1)  # history is dropped near it


def steps(solver: str, points: int) -> tuple[EulerStep, ...]:
    """Return the steps of a solver; "naive_euler" evaluates at every point, 1 included."""
    if solver == "neural_ode_euler":
        return euler_steps(points)
    grid = torch.linspace(0, 1, points, dtype=torch.float32)
    return tuple(EulerStep(float(time), NAIVE_SPAN / points) for time in grid)


class PublishedSolver(ChunkSolver):
    """The state between the steps has the network's dtype."""

    def __init__(self, network: FlowNetwork, settings: PublishedSettings) -> None:
        super().__init__(network, settings)
        self.path = steps(settings.solver, settings.ode_points)
        self.state_dtype = self.dtype
        self.newest: list[KeyValue] = []  # keys and values of the last evaluation

    def evaluate(
        self, x: Tensor, tokens: Tensor, time: int, history: History, past: list[KeyValue]
    ) -> tuple[Tensor, list[KeyValue]]:
        velocity, self.newest = super().evaluate(x, tokens, time, history, past)
        return velocity, self.newest


def read_voice(
    solver: PublishedSolver, settings: PublishedSettings, mel: Tensor, tokens: Tensor
) -> History:
    """Return the history of a voice: mel is cut to the tokens, or filled up with loud frames."""
    missing = max(0, len(tokens) - len(mel))
    padding = mel.new_full((missing, mel.shape[1]), PADDING)
    return observed(solver, settings, torch.cat((mel, padding))[: len(tokens)], tokens)


class PublishedMelStream:
    """Tokens to mel frames.

    Each call draws fresh noise for the whole span. Without look-ahead the history gets keys and
    values of the last evaluation, of frames that are not finished. The oldest frames leave the
    history first, the voice among them. Near `position_limit` the history becomes what the voice
    left.
    """

    def __init__(
        self, solver: PublishedSolver, settings: PublishedSettings, noise: Noise, history: History
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
        solved = self.solver.solve(frame_tokens, noise, self.history)
        if not final:
            self._remember(solved[:kept], frame_tokens[:kept], ahead > 0)
        self.carry = frame_tokens[kept:]
        return denormalise(solved[:kept], self.solver.network.config)

    def _remember(self, x: Tensor, tokens: Tensor, clean: bool) -> None:
        if clean:
            history = self.solver.observe(x, tokens, self.history)
        else:
            history = self.history.extended(self.solver.newest)
        self.history = history.recent(self.settings.cache_frames)
        if self.history.next_position + 2 * len(tokens) > self.settings.position_limit:
            self.history = self.start


class CrossFadeStream:
    """Mel frames to audio.

    Each piece is decoded without the frames that follow it, and faded over the last one with a
    Hamming window whose halves add to 1.08; the last piece is not faded at all.
    """

    def __init__(self, vocoder: Vocoder, samples_per_frame: int) -> None:
        self.vocoder = vocoder
        self.samples_per_frame = samples_per_frame
        self.mel: Tensor | None = None
        self.audio: Tensor | None = None  # decoded, not emitted

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Return as much audio as the published code does: half of what is new, or twice."""
        joined = mel if self.mel is None else torch.cat((self.mel, mel))
        audio = self.vocoder(joined[None])[0]
        if final:
            return audio
        if self.audio is None:
            length = len(audio) // 2
            self.mel = mel[len(mel) // 2 :]
        else:
            length = 2 * len(self.audio)
            length = length if len(audio) > length else len(audio) // 2
            self._fade_in(audio, length)
            frames = (len(audio) - length) // self.samples_per_frame
            self.mel = mel[max(0, len(mel) - frames) :]
        self.audio = audio[length:]
        return audio[:length]

    def _fade_in(self, audio: Tensor, length: int) -> None:
        assert self.audio is not None
        half = length // 2
        window = torch.hamming_window(length, periodic=True).to(audio)
        audio[:half] = self.audio[:half] * window[-half:] + audio[:half] * window[:half]


class PublishedDetokenizer(Detokenizer):
    """A detokenizer whose voices and streams are the published ones."""

    settings: PublishedSettings

    def _solver(self) -> PublishedSolver:
        return PublishedSolver(self.flow, self.settings)

    def _voice(self, mel: Tensor, tokens: Tensor) -> History:
        return read_voice(self._solver(), self.settings, mel, tokens)

    def stream(
        self, noise: torch.Generator | Noise, voice: History | None = None
    ) -> DetokenizerStream:
        if isinstance(noise, torch.Generator):
            noise = seeded_noise(noise, self.flow.config.input_size)
        history = History.empty(self.flow) if voice is None else voice
        mels = PublishedMelStream(self._solver(), self.settings, noise, history)
        audio = CrossFadeStream(self.vocoder, self.config.vocoder.samples_per_frame)
        return DetokenizerStream(mels, audio)  # type: ignore[arg-type]

    def decode(
        self,
        tokens: Sequence[int] | Tensor,
        noise: torch.Generator | Noise,
        voice: History | None = None,
    ) -> Tensor:
        """Return the audio of an utterance cut as the published interface does."""
        stream, size = self.stream(noise, voice), self.settings.chunk_tokens
        pieces = [
            stream.push(tokens[start : start + size], final=start + size >= len(tokens))
            for start in range(0, len(tokens), size)
        ]
        return torch.cat(pieces)
