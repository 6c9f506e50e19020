"""Tokens to mel frames to audio, piece by piece, with or without a voice (report section 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wavemill.model.detokenizer.config import FlowConfig, StreamSettings
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import ChunkSolver, Noise, denormalise, normalise

Vocoder = Callable[[Tensor], Tensor]  # log-mel (1, frames, bands) -> audio (1, samples)


def read_voice(
    solver: ChunkSolver, settings: StreamSettings, mel: Tensor, tokens: Tensor
) -> History:
    """Return the history that a voice leaves; any number of streams can begin with it.

    `mel` (frames, bands) log-mel, `tokens` int64 (frames,): one token a frame, so repeated ones.
    Both are cut to the shorter one, and all of the voice stays for the whole stream.

    Raises ValueError for a voice without frames, and for one that leaves no room in `cache_frames`
    for the chunk before.
    """
    frames = min(len(mel), len(tokens))
    room = settings.cache_frames - settings.chunk_tokens * settings.frames_per_token
    if frames > room:
        raise ValueError(f"the voice has {frames} frames; at most {room} fit the history")
    return observed(solver, settings, mel[:frames], tokens[:frames]).protect()


def observed(solver: ChunkSolver, settings: StreamSettings, mel: Tensor, tokens: Tensor) -> History:
    """Return the history behind equally many frames and tokens, at most `cache_frames` of them.

    They are read in pieces of `voice_chunk_frames`, at most `voice_chunks` of them behind a first
    piece of the rest. Raises ValueError where there are none.
    """
    if not len(tokens):
        raise ValueError("the voice has no frames")
    x = normalise(mel.to(solver.device, solver.state_dtype), solver.network.config)
    whole = min(len(tokens) // settings.voice_chunk_frames, settings.voice_chunks)
    first = len(tokens) - whole * settings.voice_chunk_frames
    sizes = [first] * (first > 0) + [settings.voice_chunk_frames] * whole
    history = History.empty(solver.network)
    for part, part_tokens in zip(torch.split(x, sizes), torch.split(tokens, sizes), strict=True):
        history = solver.observe(part, part_tokens, history).recent(settings.cache_frames)
    return history


class MelStream:
    """One utterance: give it tokens as they come, it solves a chunk as soon as it can.

    The first chunk needs `chunk_tokens` tokens, a later one as many again; of what is at hand, all
    but the last `look_ahead_tokens` become frames. Frames depend on the tokens, the noise and the
    voice, not on the pieces in which tokens arrive. What is mended of the
    published stream (`docs/published-format.md`, "Streaming"):

    - a frame has one noise, also when it is solved first as look-ahead and then for good;
    - the history holds clean frames, with and without look-ahead;
    - the voice stays in the history; what leaves is the oldest of the rest;
    - positions count from the start of the history, so there is no limit and nothing is reset;
    - the state is float32 whatever the network's dtype.
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
        solved = self.solver.solve(tokens, noise, self.history)
        frames = kept * repeats
        clean = solved[:frames]
        history = self.solver.observe(clean, tokens[:frames], self.history)
        self.history = history.recent(self.settings.cache_frames).renumbered()
        self.tokens, self.noise = self.tokens[kept:], noise[frames:]
        return denormalise(clean, self.solver.network.config)


class ContextStream:
    """Decode every frame with true frames on both sides of it, and emit each sample once.

    An output sample of the published vocoder depends on 40 frames before it and 39 after, hardly
    on those beyond 16, so `context` frames give the samples of one offline decode. Emission lags
    the frames by `context`, from the first piece to the last.
    """

    def __init__(self, vocoder: Vocoder, samples_per_frame: int, context: int, window: int) -> None:
        """`window` frames are emitted at once, at most, which bounds memory."""
        self.vocoder = vocoder
        self.samples_per_frame = samples_per_frame
        self.context = context
        self.window = window
        self.mel: Tensor | None = None  # frames not emitted, behind those kept as context
        self.emitted = 0  # of the frames in `mel`

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Return the audio of all frames that have their context; `final`: of all frames."""
        self.mel = mel if self.mel is None else torch.cat((self.mel, mel))
        missing = 0 if final else self.context
        pieces = [mel.new_zeros(0)]
        while (ready := len(self.mel) - missing - self.emitted) > 0:
            pieces.append(self._decode(min(ready, self.window)))
        return torch.cat(pieces)

    def _decode(self, frames: int) -> Tensor:
        """Return the audio of the next `frames`; forget frames that the following do not need."""
        assert self.mel is not None
        end = self.emitted + frames
        audio = self.vocoder(self.mel[None, : end + self.context])[0]
        audio = audio[self.emitted * self.samples_per_frame : end * self.samples_per_frame]
        first = max(0, end - self.context)
        self.mel, self.emitted = self.mel[first:], end - first
        return audio


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
