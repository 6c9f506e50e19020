"""The vocoder: BigVGAN against discriminators (report section 4.3; Lee et al. 2023).

Least-squares adversarial losses, features that match, and the distance of log-mel frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from wavemill.model.audio import vocoder_log_mel
from wavemill.model.data.clips import ClipBatch
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.train.learner import Example, Learner, Loss, Progress
from wavemill.model.train.speech.discriminators import (
    Discriminators,
    DiscriminatorSettings,
    Scored,
)
from wavemill.model.train.speech.flops import vocoder_flops

DISCRIMINATOR, GENERATOR = "discriminator", "generator"


class VocoderSettings(BaseModel):
    """Discriminators, and weights of the generator's losses (Kong et al. 2020; as in BigVGAN)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    discriminators: DiscriminatorSettings = DiscriminatorSettings()
    mel_weight: float = Field(45.0, ge=0)
    feature_weight: float = Field(2.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    mel_only_share: float = Field(0.0, ge=0, le=1)  # of the training, at its start
    # Natural log magnitude up to which the mel loss treats all values as equal; null: none.
    # Recordings of a narrow band are silent above it, and exact silence is hard to learn.
    softest: float | None = None


class VocoderLearner(Learner[ClipBatch]):
    """The vocoder of a detokenizer, with weight norm; its flow network is exported as it is."""

    def __init__(
        self,
        vocoder: BigVgan,
        flow: FlowNetwork,
        settings: VocoderSettings,
        held_out: ClipBatch | None = None,
    ) -> None:
        """Add weight norm to `vocoder`; `examples` decodes the mel frames of `held_out`."""
        self.vocoder, self.flow, self.settings = vocoder, flow, settings
        self.held_out = held_out
        self.discriminators = Discriminators(settings.discriminators)
        self.adversarial = not settings.mel_only_share  # in the current step
        for part in convolutions(vocoder):
            weight_norm(part)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"vocoder": self.vocoder, "discriminators": self.discriminators}

    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        return {
            DISCRIMINATOR: list(self.discriminators.parameters()),
            GENERATOR: list(self.vocoder.parameters()),
        }

    def prepare(self, progress: Progress) -> None:
        self.adversarial = not self._mel_only(progress)

    def flops(self, batch: ClipBatch) -> float:
        clips, samples = batch.audio.shape
        discriminators = self.settings.discriminators
        return clips * vocoder_flops(self.vocoder.config, discriminators, samples, self.adversarial)

    def learns(self, optimizer: str, progress: Progress) -> bool:
        # Steps without a gradient would decay the optimizer's moments and the weights.
        return optimizer != DISCRIMINATOR or not self._mel_only(progress)

    def loss(self, optimizer: str, batch: ClipBatch, progress: Progress) -> Loss:
        """Return the loss of one optimizer: a mean per clip, summed over clips of equal length."""
        mel = self._mel(batch.audio)
        discriminating = optimizer == DISCRIMINATOR
        self.discriminators.requires_grad_(discriminating)
        try:
            loss = (
                self._discriminator_loss(batch.audio, mel)
                if discriminating
                else self._generator_loss(batch.audio, mel, self._mel_only(progress))
            )
        finally:
            self.discriminators.requires_grad_(True)
        return loss

    def _mel_only(self, progress: Progress) -> bool:
        return progress.fraction < self.settings.mel_only_share

    def _discriminator_loss(self, real: Tensor, mel: Tensor) -> Loss:
        with torch.no_grad():
            made = self.vocoder(mel)
        total = real.new_zeros(())
        right = []
        for (real_score, _), (made_score, _) in zip(
            self.discriminators(real), self.discriminators(made), strict=True
        ):
            total = total + _squares(real_score, 1.0) + _squares(made_score, 0.0)
            right += [(real_score > 0.5).float().mean(), (made_score < 0.5).float().mean()]
        parts = {
            "loss/discriminator": total.detach() / len(real),
            "vocoder/told_apart": torch.stack(right).mean(),
        }
        return Loss(total, float(len(real)), parts)

    def _generator_loss(self, real: Tensor, mel: Tensor, mel_only: bool) -> Loss:
        settings, clips = self.settings, len(real)
        made = self.vocoder(mel)
        distance = (self._audible(self._mel(made)) - self._audible(mel)).abs().mean() * clips
        total = settings.mel_weight * distance
        parts = {"loss/mel": distance.detach() / clips}
        if not mel_only:
            with torch.no_grad():
                wanted = self.discriminators(real)
            found = self.discriminators(made)
            adversarial = torch.stack([_squares(score, 1.0) for score, _ in found]).sum()
            features = features_apart(wanted, found) * clips
            total = (
                total
                + settings.adversarial_weight * adversarial
                + settings.feature_weight * features
            )
            parts["loss/adversarial"] = adversarial.detach() / clips
            parts["loss/features"] = features.detach() / clips
        return Loss(total, float(clips), parts)

    def export(self, folder: Path) -> None:
        """Write what `Detokenizer.from_pretrained` reads."""
        Detokenizer(self.flow, plain(self.vocoder)).save_pretrained(folder)

    @torch.no_grad()
    def examples(self, limit: int) -> Iterator[Example]:
        """Yield held-out clips, decoded from their own mel frames."""
        if self.held_out is None:
            return
        batch = self.held_out.first(limit).to(next(self.vocoder.parameters()).device)
        rate = self.vocoder.config.sampling_rate
        for name, text, audio in zip(batch.ids, batch.texts, batch.audio, strict=True):
            yield Example(name, text, "", self.vocoder(self._mel(audio[None]))[0].cpu(), rate)

    def _audible(self, mel: Tensor) -> Tensor:
        softest = self.settings.softest
        return mel if softest is None else mel.clamp_min(softest)

    def _mel(self, audio: Tensor) -> Tensor:
        with torch.autocast(audio.device.type, enabled=False):
            return vocoder_log_mel(audio.float(), self.vocoder.config)


def convolutions(module: nn.Module) -> list[nn.Module]:
    """Return the convolutions, on which the published vocoder has weight norm."""
    return [part for part in module.modules() if isinstance(part, nn.Conv1d | nn.ConvTranspose1d)]


def plain(vocoder: BigVgan) -> BigVgan:
    """Return a copy with the norms folded into weights, as `BigVgan` is built.

    Not by `remove_parametrizations`: a deep copy shares its class with the original, which would
    then lose its weights.
    """
    tensors = {
        name: tensor
        for name, tensor in vocoder.state_dict().items()
        if ".parametrizations." not in name
    }
    for name, part in vocoder.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            tensors[f"{name}.weight"] = part.weight.detach()
    with torch.device("meta"):
        copy = BigVgan(vocoder.config)
    copy.load_state_dict(tensors, assign=True)
    return copy


def features_apart(wanted: Sequence[Scored], found: Sequence[Scored]) -> Tensor:
    """Return the mean absolute distance of features, summed over layers and discriminators."""
    pairs = [
        (have, want)
        for (_, wants), (_, haves) in zip(wanted, found, strict=True)
        for have, want in zip(haves, wants, strict=True)
    ]
    return torch.stack([(have - want).abs().mean() for have, want in pairs]).sum()


def _squares(scores: Tensor, target: float) -> Tensor:
    """Return squared errors, mean over a clip's scores, summed over clips."""
    return (scores.float() - target).square().mean(1).sum()
