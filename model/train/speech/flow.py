"""The flow network: from noise to mel frames, given semantic tokens (report sections 2.4 and 4.3).

Flow matching (Lipman et al. 2023) along straight lines: between noise and a normalised mel frame,
at a random time, the network learns their difference. It is trained first on whole utterances,
then on chunks of random length behind clean ones, as `MelStream` decodes, and then in the same
way on one speaker.

A frame sees all of its own chunk and, of earlier chunks, the newest `history` frames, clean. So a
training step in chunks needs two passes: one over the clean frames, whose keys and values are the
history of every chunk, and one over the noisy frames behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from wavemill.model.audio import griffin_lim, vocoder_log_mel
from wavemill.model.data.clips import ClipBatch
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import StreamSettings
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.flow import FlowNetwork, rotate
from wavemill.model.detokenizer.solver import CLEAN_TIME, normalise
from wavemill.model.train.learner import MAIN, Example, Learner, Loss, Progress
from wavemill.model.train.speech.flops import flow_flops


def random_chunks(
    lengths: Tensor, shortest: int, longest: int, multiple: int, generator: torch.Generator
) -> Tensor:
    """Return the number of each frame's chunk: int64 (batch, longest length), from 0.

    `lengths` int64 (batch,), in frames. An utterance's chunks have `shortest` to `longest` frames,
    each drawn alone, in steps of `multiple` (the frames of a token); the last has what is left.
    """
    frames = int(lengths.max())
    sizes = torch.arange(-(-shortest // multiple), longest // multiple + 1) * multiple
    rows = []
    for _ in range(len(lengths)):
        drawn = torch.randint(len(sizes), (-(-frames // int(sizes[0])),), generator=generator)
        numbers = torch.arange(len(drawn)).repeat_interleave(sizes[drawn])
        rows.append(numbers[:frames])
    return torch.stack(rows)


def visible(chunks: Tensor, real: Tensor, history: int) -> tuple[Tensor, Tensor]:
    """Return which frames each frame sees in earlier chunks, and in its own: bool (batch, 1, T, T).

    `chunks` int64 (batch, T), rising; `real` bool (batch, T), False at padding. A padded frame sees
    itself, since attention over no frame gives NaN.
    """
    places = torch.arange(chunks.shape[1], device=chunks.device)
    first = torch.searchsorted(chunks.contiguous(), chunks.contiguous())  # of a frame's own chunk
    query, key = chunks[:, :, None], chunks[:, None, :]
    seen = real[:, None, :]
    recent = places >= first[:, :, None] - history
    earlier = (key < query) & recent & seen
    own = (key == query) & (seen | torch.eye(len(places), dtype=torch.bool, device=chunks.device))
    return earlier[:, None], own[:, None]


TIMES = 1000  # the network's times are 0 ... 999


class FlowSettings(BaseModel):
    """How the flow network is trained; durations as in the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunked: bool = False  # chunks behind clean ones, not whole utterances
    shortest_chunk_s: float = Field(0.5, gt=0)
    longest_chunk_s: float = Field(3.0, gt=0)
    history_frames: int = Field(StreamSettings().cache_frames, ge=1)  # seen of earlier chunks

    def chunk_frames(self, frame_rate: float) -> tuple[int, int]:
        """Return the shortest and longest chunk in frames."""
        return round(self.shortest_chunk_s * frame_rate), round(self.longest_chunk_s * frame_rate)


class FlowLearner(Learner[ClipBatch]):
    """The flow network of a detokenizer; its vocoder is exported as it is."""

    def __init__(
        self,
        flow: FlowNetwork,
        vocoder: BigVgan,
        settings: FlowSettings,
        held_out: ClipBatch | None = None,
    ) -> None:
        """Train `flow`; `examples` decodes the tokens of `held_out`."""
        self.flow, self.vocoder, self.settings = flow, vocoder, settings
        self.held_out = held_out
        self.repeats = StreamSettings().frames_per_token

    def modules(self) -> Mapping[str, nn.Module]:
        return {"flow": self.flow}

    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        return {MAIN: list(self.flow.parameters())}

    def shardable(self) -> Sequence[Sequence[nn.Module]]:
        return [[block] for block in self.flow.blocks]

    def loss(self, optimizer: str, batch: ClipBatch, progress: Progress) -> Loss:
        """Return squared errors of the velocity, mean over bands, summed over real frames.

        Prompts are given as clean frames, and are not learnt.
        """
        del optimizer, progress
        clean, tokens, real = self.frames(batch)
        noise = torch.randn_like(clean)
        time = torch.randint(TIMES, (len(clean),), device=clean.device)
        share = (time / TIMES)[:, None, None]
        noisy = noise + share * (clean - noise)
        given = _places(real) < batch.prompt_counts[:, None] * self.repeats
        prompted = bool(batch.prompt_counts.any())
        if self.settings.chunked or prompted:
            chunks = self._chunks(real) if self.settings.chunked else torch.zeros_like(tokens)
            if prompted:
                chunks = torch.where(given, 0, chunks + 1)  # the prompt is the first chunk
            found = self.behind_clean(noisy, clean, tokens, real, time, chunks)
        else:
            positions = _places(real)
            # A padded frame sees the real ones, which do not see it.
            found, _ = self.flow(noisy, tokens, time, positions, mask=real[:, None, None])
        learnt = real & ~given
        errors = (found.float() - (clean - noise)).square().mean(-1)[learnt].sum()
        frames = learnt.sum()
        return Loss(errors, float(frames), {"loss/velocity": (errors.detach(), frames)})

    def flops(self, batch: ClipBatch) -> float:
        clips, tokens = batch.tokens.shape
        config, frames = self.flow.config, tokens * self.repeats
        return clips * flow_flops(config, self.vocoder.config, frames, self.settings.chunked)

    def frames(self, batch: ClipBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised mel (B, T, bands), tokens int64 (B, T), and which frames are real."""
        with torch.autocast(batch.audio.device.type, enabled=False):
            mel = normalise(vocoder_log_mel(batch.audio, self.vocoder.config), self.flow.config)
        tokens = batch.tokens.repeat_interleave(self.repeats, dim=1)
        places = torch.arange(mel.shape[1], device=mel.device)
        return mel, tokens, places < batch.token_counts[:, None] * self.repeats

    def _chunks(self, real: Tensor) -> Tensor:
        config = self.vocoder.config
        shortest, longest = self.settings.chunk_frames(config.sampling_rate / config.hop_size)
        draw = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        lengths = real.sum(1).cpu()
        return random_chunks(lengths, shortest, longest, self.repeats, draw).to(real.device)

    def behind_clean(
        self,
        noisy: Tensor,
        clean: Tensor,
        tokens: Tensor,
        real: Tensor,
        time: Tensor,
        chunks: Tensor,
    ) -> Tensor:
        """Return the velocities (B, T, bands) of every chunk behind the clean frames before it.

        As `ChunkSolver` evaluates them, chunk by chunk; `chunks` int64 (B, T) numbers them.
        """
        earlier, own = visible(chunks, real, self.settings.history_frames)
        positions = _places(real)
        clean_time = torch.full_like(time, CLEAN_TIME)
        _, read = self.flow(clean, tokens, clean_time, positions, mask=earlier | own)
        rotation = self.flow.rotation(positions)
        past = [(rotate(key, rotation), value) for key, value in read]
        seen = torch.cat((earlier, own), -1)
        found, _ = self.flow(noisy, tokens, time, positions, past, seen)
        return found

    def export(self, folder: Path) -> None:
        """Write what `Detokenizer.from_pretrained` reads."""
        Detokenizer(self.flow, self.vocoder).save_pretrained(folder)

    @torch.no_grad()
    def examples(self, limit: int) -> Iterator[Example]:
        """Yield held-out clips, made from their tokens and sounded by Griffin-Lim."""
        if self.held_out is None:
            return
        config, training = self.vocoder.config, self.flow.training
        detokenizer = Detokenizer(self.flow, self.vocoder)
        batch = self.held_out.first(limit)
        for name, text, tokens, count in zip(
            batch.ids, batch.texts, batch.tokens, batch.token_counts, strict=True
        ):
            mel = detokenizer.mel(tokens[: int(count)], torch.Generator().manual_seed(0))
            yield Example(name, text, "", griffin_lim(mel.cpu(), config), config.sampling_rate)
        self.flow.train(training)


def start_quiet(flow: FlowNetwork) -> None:
    """Set the modulation and the last layer of a new network to zero (Peebles and Xie 2023).

    So every block starts as the identity, and the output at zero.
    """
    for layer in (*flow.blocks, flow.final_layer):
        nn.init.zeros_(layer.adaLN_modulation[-1].weight)
        nn.init.zeros_(layer.adaLN_modulation[-1].bias)
    nn.init.zeros_(flow.final_layer.linear.weight)
    nn.init.zeros_(flow.final_layer.linear.bias)


def _places(real: Tensor) -> Tensor:
    return torch.arange(real.shape[1], device=real.device).expand(real.shape)
