"""The semantic tokenizer: an encoder and its codebook, trained by speech recognition.

Report section 2.2; glm-4-voice-tokenizer: a text decoder reads the states behind the codebook and
nothing else, so codes come to stand for what is said. Gradients pass straight through the
codebook; a commitment loss keeps states near their codes.

Codes are moving averages of the hidden states that chose them (van den Oord et al. 2017, appendix
A.1; as glm-4-voice-tokenizer is trained), and get no gradient. Dead codes are replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, distributed, nn
from torch.nn import functional

from wavemill.model.audio import WHISPER_HOP, whisper_log_mel
from wavemill.model.data.clips import ClipBatch
from wavemill.model.io.folders import WeightsError
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import VqConfig
from wavemill.model.tokenizer.pieces import TOKEN_FRAMES
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.model.tokenizer.vq_encoder import VqEncoder
from wavemill.model.train.learner import MAIN, Example, Learner, Loss, Progress
from wavemill.model.train.speech.flops import tokenizer_flops
from wavemill.model.train.speech.text_decoder import (
    PADDING,
    TextDecoder,
    TextDecoderConfig,
    spelled,
)

MIN_COUNT = 1e-12  # of a moving count; keeps the division finite


class CodebookSettings(BaseModel):
    """The published values, where a public configuration of glm-4-voice-tokenizer has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decay: float = Field(0.99, ge=0, lt=1)  # of the moving averages, a step
    dead_after_steps: int = Field(100, ge=1)  # a code that nothing chose for so long is replaced


class MovingCodebook(nn.Module):
    """The state of training beside `VqEncoder`'s codebook, `ema_count` and `ema_weight`.

    Every code is dead at first, so the first steps fill the codebook with their hidden states.
    """

    idle: Tensor

    def __init__(self, size: int, width: int, settings: CodebookSettings) -> None:
        super().__init__()
        self.settings = settings
        self.size, self.width = size, width
        start = torch.full((size,), settings.dead_after_steps, dtype=torch.int64)
        self.register_buffer("idle", start)  # steps since a code was last chosen
        self._hidden: list[Tensor] = []  # of the step, one entry a micro-batch
        self._codes: list[Tensor] = []

    def collect(self, hidden: Tensor, codes: Tensor) -> None:
        """Keep the hidden states (N, width) of a micro-batch and the codes that they chose (N,)."""
        self._hidden.append(hidden.detach().float())
        self._codes.append(codes.detach())

    @torch.no_grad()
    def update(self, codebook: Tensor, count: Tensor, weight: Tensor, seed: int) -> int:
        """Move `codebook` (size, width), `count` (size,) and `weight` (size, width), in place.

        Returns how many dead codes were replaced.

        All workers use the same sums and get the codes that one worker would have. A dead code is
        replaced by a hidden state of the step, drawn by `seed`, each at most once: if there are
        fewer of them than dead codes, some wait for the next step.
        """
        parts, codes = self._taken(codebook)
        hidden = torch.cat(parts)
        chosen = torch.bincount(codes, minlength=self.size).float()
        sums = torch.zeros_like(weight).index_add_(0, codes, hidden)
        if distributed.is_initialized():
            distributed.all_reduce(chosen)
            distributed.all_reduce(sums)
        decay = self.settings.decay
        count.mul_(decay).add_(chosen, alpha=1 - decay)
        weight.mul_(decay).add_(sums, alpha=1 - decay)
        used = chosen > 0
        codebook[used] = weight[used] / count[used, None].clamp_min(MIN_COUNT)
        self.idle += 1
        self.idle[used] = 0
        return self._replace_dead(codebook, count, weight, parts, seed)

    def alive(self) -> Tensor:
        """Return the share of codes that are not dead: a scalar."""
        return (self.idle < self.settings.dead_after_steps).float().mean()

    def _taken(self, like: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return an empty part and the hidden states of each micro-batch, and all codes."""
        parts = [like.new_zeros(0, self.width, dtype=torch.float32), *self._hidden]
        codes = torch.cat([like.new_zeros(0, dtype=torch.int64), *self._codes])
        self._hidden, self._codes = [], []
        return parts, codes

    def _replace_dead(
        self, codebook: Tensor, count: Tensor, weight: Tensor, parts: list[Tensor], seed: int
    ) -> int:
        dead = (self.idle >= self.settings.dead_after_steps).nonzero()[:, 0]
        drawn = _drawn(parts, len(dead), seed)
        replaced = dead[: len(drawn)]
        codebook[replaced] = drawn.to(codebook.dtype)
        count[replaced] = 1 - self.settings.decay  # as if it had been chosen once, now
        weight[replaced] = (1 - self.settings.decay) * drawn
        self.idle[replaced] = 0
        return len(replaced)


def _drawn(parts: list[Tensor], wanted: int, seed: int) -> Tensor:
    """Return at most `wanted` different rows of the micro-batches of all workers.

    The same everywhere, and as if one worker had had them all: micro-batch i is worker i % world's.
    """
    rank, world = 0, 1
    if distributed.is_initialized():
        rank, world = distributed.get_rank(), distributed.get_world_size()
    mine = torch.tensor([len(part) for part in parts], device=parts[0].device)
    of_all = [mine]
    if world > 1:
        of_all = [torch.zeros_like(mine) for _ in range(world)]
        distributed.all_gather(of_all, mine)
    sizes = torch.stack(of_all, 1).flatten().cpu()
    ends = sizes.cumsum(0)
    order = torch.randperm(int(ends[-1]), generator=torch.Generator().manual_seed(seed))[:wanted]
    owners = torch.searchsorted(ends, order, right=True)
    drawn = parts[0].new_zeros(len(order), parts[0].shape[1])
    for place, part in enumerate(parts):
        number = place * world + rank
        own = owners == number
        rows = order[own] - (ends[number] - sizes[number])
        drawn[own.to(part.device)] = part[rows.to(part.device)]
    if world > 1:
        distributed.all_reduce(drawn)
    return drawn


def perplexity(count: Tensor) -> Tensor:
    """Return the exp of the entropy of counts: a scalar."""
    return torch.special.entr(count / count.sum().clamp_min(MIN_COUNT)).sum().exp()


class TokenizerSettings(BaseModel):
    """The text decoder, the codebook and the losses that train the encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decoder: TextDecoderConfig = TextDecoderConfig()
    codebook: CodebookSettings = CodebookSettings()
    commitment: float = Field(2.5, ge=0)  # published: a coefficient of 0.25 at a scale of 10

    def network(self, encoder: VqConfig) -> VqConfig:
        """Return the encoder's configuration with the published fields on training."""
        training = {
            "quantize_ema_decay": self.codebook.decay,
            "quantize_restart_interval": self.codebook.dead_after_steps,
        }
        return VqConfig.model_validate(encoder.model_dump() | training)


class TokenizerLearner(Learner[ClipBatch]):
    """The encoder, its codebook, and a text decoder that is not exported."""

    def __init__(
        self, encoder: VqConfig, settings: TokenizerSettings, held_out: ClipBatch | None = None
    ) -> None:
        """Build with random weights; `examples` transcribes `held_out`."""
        config = settings.network(encoder)
        self.settings = settings
        self.encoder = VqEncoder(config)
        self.encoder.codebook.requires_grad_(False)
        self.encoder.ema_count.zero_()
        self.moving = MovingCodebook(config.quantize_vocab_size, config.d_model, settings.codebook)
        self.decoder = TextDecoder(settings.decoder, config.d_model)
        self.held_out = held_out

    def start_from_whisper(self, source: str | Path) -> None:
        """Take convolutions, positions and layers of a Whisper checkpoint; raises WeightsError."""
        whisper = AcousticEncoder.from_pretrained(source, dtype=torch.float32).encoder
        if len(whisper.layers) < len(self.encoder.layers):
            raise WeightsError(f"{source}: fewer encoder layers than {len(self.encoder.layers)}")
        try:
            for name in ("conv1", "conv2", "embed_positions"):
                getattr(self.encoder, name).load_state_dict(getattr(whisper, name).state_dict())
            for mine, theirs in zip(self.encoder.layers, whisper.layers, strict=False):
                mine.load_state_dict(theirs.state_dict())
        except RuntimeError as error:  # torch says which tensors differ in shape
            raise WeightsError(f"{source}: {' '.join(str(error).split())}") from None

    def modules(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.encoder, "codebook": self.moving, "text_decoder": self.decoder}

    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        networks = (self.encoder, self.decoder)
        return {MAIN: [p for n in networks for p in n.parameters() if p.requires_grad]}

    def counts(self, batch: ClipBatch) -> Mapping[str, float]:
        """Return the bytes and tokens that the losses are means over."""
        texts = spelled(batch.texts, self.settings.decoder.most_bytes)
        return {"bytes": texts.loss_positions, "tokens": int(batch.token_counts.sum())}

    def loss(self, optimizer: str, batch: ClipBatch, progress: Progress) -> Loss:
        """Return cross entropy in nats a byte, and the commitment loss in mean squares a token."""
        del optimizer
        states, real, unquantized, codes = self._encoded(batch)
        if self.encoder.training:
            self.moving.collect(unquantized[real], codes[real])
        texts = spelled(batch.texts, self.settings.decoder.most_bytes, states.device)
        logits = self.decoder(texts.inputs, states, real)
        asr = functional.cross_entropy(
            logits.float().transpose(1, 2), texts.targets, ignore_index=PADDING, reduction="sum"
        )
        nearest = self.encoder.codebook.weight[codes]
        commitment = (unquantized - nearest).float().square().mean(-1)[real].sum()
        scale = self.settings.commitment
        total = (
            asr / max(1.0, progress.counts["bytes"])
            + scale * commitment / progress.counts["tokens"]
        )
        loss_mask = texts.targets != PADDING
        right = (logits.argmax(-1) == texts.targets)[loss_mask].sum()
        letters, tokens = loss_mask.sum(), real.sum()
        parts: dict[str, Tensor | tuple[Tensor, Tensor]] = {
            "loss/asr": (asr.detach(), letters),
            "asr/right_bytes": (right, letters),
            "loss/commitment": (commitment.detach(), tokens),
            "codebook/perplexity": perplexity(self.encoder.ema_count),
            "codebook/alive": self.moving.alive(),
        }
        return Loss(total, None, parts)

    def flops(self, batch: ClipBatch) -> float:
        decoder = self.settings.decoder
        letters = spelled(batch.texts, decoder.most_bytes).inputs.shape[1]
        clips, tokens = batch.tokens.shape
        return clips * tokenizer_flops(self.encoder.config, decoder, tokens, letters)

    def after_step(self, progress: Progress) -> None:
        """Move the codes towards the states that chose them; replace dead ones."""
        encoder = self.encoder
        self.moving.update(
            encoder.codebook.weight, encoder.ema_count, encoder.ema_weight, progress.step
        )

    def export(self, folder: Path) -> None:
        """Write what `SemanticTokenizer.from_pretrained` reads."""
        SemanticTokenizer(self.encoder).save_pretrained(folder)

    @torch.no_grad()
    def examples(self, limit: int) -> Iterator[Example]:
        """Yield the text decoder's transcripts of held-out clips."""
        if self.held_out is None:
            return
        batch = self.held_out.first(limit).to(self.encoder.codebook.weight.device)
        training = self.encoder.training
        self.encoder.eval()
        self.decoder.eval()
        states, real, _, _ = self._encoded(batch)
        longest = 2 * max(len(text.encode()) for text in batch.texts) + 8
        written = self.decoder.write(states, real, longest)
        self.encoder.train(training)
        self.decoder.train(training)
        for name, reference, answer in zip(batch.ids, batch.texts, written, strict=True):
            yield Example(name, reference, answer)

    def _encoded(self, batch: ClipBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return states behind the codebook, which are real, states before it, and codes."""
        with torch.autocast(batch.audio.device.type, enabled=False):
            mel = whisper_log_mel(batch.audio)
        starts = torch.arange(mel.shape[-1], device=mel.device) * WHISPER_HOP
        real = starts < batch.samples[:, None]
        found = self.encoder(mel, real)
        return found.last_hidden, real[:, ::TOKEN_FRAMES], found.unquantized, found.codes
