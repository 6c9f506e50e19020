"""The semantic tokenizer: an encoder and its codebook learnt under speech recognition.

Report section 2.2; glm-4-voice-tokenizer: the states behind the codebook are all that a text
decoder hears, so codes come to stand for what is said. Gradients pass the codebook straight
through; a commitment loss keeps states near their codes; codes follow by moving averages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
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
from wavemill.model.train.speech.codebook import CodebookSettings, MovingCodebook, perplexity
from wavemill.model.train.speech.flops import tokenizer_flops
from wavemill.model.train.speech.text_decoder import (
    PADDING,
    TextDecoder,
    TextDecoderConfig,
    spelled,
)


class TokenizerSettings(BaseModel):
    """What is beside the encoder in training, and on which losses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decoder: TextDecoderConfig = TextDecoderConfig()
    codebook: CodebookSettings = CodebookSettings()
    commitment: float = Field(2.5, ge=0)  # published: a coefficient of 0.25 at a scale of 10

    def network(self, encoder: VqConfig) -> VqConfig:
        """Return the encoder as it is built: with what published configurations say of training."""
        training = {
            "quantize_ema_decay": self.codebook.decay,
            "quantize_restart_interval": self.codebook.dead_after_steps,
        }
        return VqConfig.model_validate(encoder.model_dump() | training)


class TokenizerLearner(Learner[ClipBatch]):
    """The encoder, its codebook, and a text decoder that is left behind."""

    def __init__(
        self, encoder: VqConfig, settings: TokenizerSettings, held_out: ClipBatch | None = None
    ) -> None:
        """Build with random weights; `held_out` is what `examples` transcribes."""
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
        """Return bytes to be said, and tokens."""
        texts = spelled(batch.texts, self.settings.decoder.most_bytes)
        return {"bytes": texts.counted, "tokens": int(batch.token_counts.sum())}

    def loss(self, optimizer: str, batch: ClipBatch, progress: Progress) -> Loss:
        """Return cross entropy in nats a byte, and the commitment loss in mean squares a token."""
        del optimizer
        states, real, unquantized, codes = self._encoded(batch)
        if self.encoder.training:
            self.moving.collect(unquantized[real], codes[real])
        texts = spelled(batch.texts, self.settings.decoder.most_bytes, states.device)
        logits = self.decoder(texts.given, states, real)
        asr = functional.cross_entropy(
            logits.float().transpose(1, 2), texts.wanted, ignore_index=PADDING, reduction="sum"
        )
        nearest = self.encoder.codebook.weight[codes]
        commitment = (unquantized - nearest).float().square().mean(-1)[real].sum()
        scale = self.settings.commitment
        total = (
            asr / max(1.0, progress.counts["bytes"])
            + scale * commitment / progress.counts["tokens"]
        )
        heard = texts.wanted != PADDING
        right = (logits.argmax(-1) == texts.wanted)[heard].sum()
        said, tokens = heard.sum(), real.sum()
        parts: dict[str, Tensor | tuple[Tensor, Tensor]] = {
            "loss/asr": (asr.detach(), said),
            "asr/right_bytes": (right, said),
            "loss/commitment": (commitment.detach(), tokens),
            "codebook/perplexity": perplexity(self.encoder.ema_count),
            "codebook/alive": self.moving.alive(),
        }
        return Loss(total, None, parts)

    def flops(self, batch: ClipBatch) -> float:
        decoder = self.settings.decoder
        letters = spelled(batch.texts, decoder.most_bytes).given.shape[1]
        clips, tokens = batch.tokens.shape
        return clips * tokenizer_flops(self.encoder.config, decoder, tokens, letters)

    def after_step(self, progress: Progress) -> None:
        """Move the codes towards the states that chose them; revive dead ones."""
        encoder = self.encoder
        self.moving.update(
            encoder.codebook.weight, encoder.ema_count, encoder.ema_weight, progress.step
        )

    def export(self, folder: Path) -> None:
        """Write what `SemanticTokenizer.from_pretrained` reads."""
        SemanticTokenizer(self.encoder).save_pretrained(folder)

    @torch.no_grad()
    def examples(self, limit: int) -> Iterator[Example]:
        """Yield what the text decoder hears in held-out clips."""
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
