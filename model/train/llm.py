"""Pre-training and fine-tuning of the audio LLM: the job, its networks, and their losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from wavemill.model.assistant import ACOUSTIC_FOLDER
from wavemill.model.data.batch import Mels, PackedBatch
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.source import DataError
from wavemill.model.io.folders import validated
from wavemill.model.io.tensors import stored_tensors
from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.network import IGNORED, AudioLlm, Head
from wavemill.model.llm.packed import Documents
from wavemill.model.prompt.text import TextTokenizer, load_text_tokenizer
from wavemill.model.tokenizer.acoustic import IGNORED as IGNORED_OF_WHISPER
from wavemill.model.tokenizer.acoustic import STACKED, AcousticEncoder, prefix_of
from wavemill.model.tokenizer.config import EncoderConfig, presets
from wavemill.model.tokenizer.pieces import TOKEN_FRAMES
from wavemill.model.train.filling import draw_tensors, load_tensors
from wavemill.model.train.kept_features import KeptFeatures
from wavemill.model.train.learner import MAIN, Example, Learner, Loss, Progress
from wavemill.model.train.llm_data import LlmData
from wavemill.model.train.llm_output import decoded, export_llm
from wavemill.model.train.loop import JobFromModel, TrainingData
from wavemill.model.train.lora import adapt, matrices, merge
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import NetworkSettings, PretrainRecipe, SftRecipe


@dataclass(frozen=True)
class LlmTraining(JobFromModel):
    """Pre-training or fine-tuning on a corpus."""

    recipe: PretrainRecipe | SftRecipe
    texts: tuple[str, ...] = ()  # places of texts for the text task of pre-training
    semantic: Path | None = None  # the corpus's tokenizer: exported, and for augmentation

    @property
    def name(self) -> Literal["pretrain", "sft"]:
        return "sft" if isinstance(self.recipe, SftRecipe) else "pretrain"

    def learner(self) -> LlmLearner:
        recipe, corpus = self.recipe, Corpus.open(self.corpus, self.name)
        codes = corpus.codebook_size
        seed = recipe.loop.seed
        empty = recipe.loop.shard  # no worker has all of it
        network = (
            empty_network(recipe.network, self.init, codes)
            if empty
            else build_network(recipe.network, self.init, codes, seed)
        )
        network.always_runs_all = recipe.loop.shard
        if recipe.keep_features_mb:
            network.kept = KeptFeatures(recipe.keep_features_mb)
        if recipe.lora is not None:
            torch.manual_seed(seed)
            adapt(network, matrices(network.llm), recipe.lora)
        return LlmLearner(
            network,
            recipe.frozen_acoustic,
            lambda made, folder: export_llm(
                made.llm, made.acoustic, folder, self.init, self.semantic, corpus.recording_ids()
            ),
            load_text_tokenizer(self.init or Path(), network.llm.config.text_vocab),
            (lambda made: fill_network(made, self.init, seed)) if empty else None,
        )

    def data(self, ranks: Ranks) -> TrainingData[PackedBatch]:
        return self.data_source().of_rank(ranks)

    def data_source(self) -> LlmData:
        """Return the data for any rank. Raises DataError and WeightsError."""
        recipe, codes = self.recipe, Corpus.open(self.corpus, self.name).codebook_size
        llm, encoder = network_configs(recipe.network, self.init, codes)
        return LlmData(recipe, llm, encoder, self.corpus, self.texts, self.init, self.semantic)


def network_configs(
    settings: NetworkSettings, init: Path | None, codes: int
) -> tuple[LlmConfig, EncoderConfig]:
    """Return the sizes of the LLM and of its acoustic encoder.

    They are those of the model folder `init`, or of the preset with `codes` audio codes. Raises
    DataError when the model folder has another codebook, and WeightsError.
    """
    if init is not None:
        llm = validated(LlmConfig, init)
        if llm.audio_codes != codes:
            raise DataError(
                f"{init} has a codebook of {llm.audio_codes} codes, the corpus one of "
                f"{codes}; remedy: curate with the tokenizer of the model"
            )
        return llm, validated(EncoderConfig, init / ACOUSTIC_FOLDER)
    _, encoder = presets(settings.preset)
    encoder = EncoderConfig.model_validate(encoder.model_dump() | settings.acoustic)
    base = preset(settings.preset)
    llm = LlmConfig.model_validate(
        base.published()
        | {"kimia_adaptor_input_dim": STACKED * encoder.d_model}
        | {"vocab_size": base.audio_offset + codes}
        | settings.llm
    )
    return llm, encoder


def build_network(
    settings: NetworkSettings, init: Path | None, codes: int, seed: int
) -> LearningLlm:
    """Return the network of a model folder, or a random one with `codes` audio codes, float32.

    Raises DataError when the model folder has another codebook, and WeightsError.
    """
    llm, encoder = network_configs(settings, init, codes)
    if init is None:
        torch.manual_seed(seed)
        return LearningLlm(AudioLlm(llm), AcousticEncoder(encoder))
    network = LearningLlm(
        AudioLlm.from_pretrained(init, dtype=torch.float32),
        AcousticEncoder.from_pretrained(init / ACOUSTIC_FOLDER, dtype=torch.float32),
    )
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()  # no longer a view of the file
    return network


def empty_network(settings: NetworkSettings, init: Path | None, codes: int) -> LearningLlm:
    """Return the network of `build_network` on the meta device. Raises the same errors."""
    llm, encoder = network_configs(settings, init, codes)
    with torch.device("meta"):
        return LearningLlm(AudioLlm(llm), AcousticEncoder(encoder))


def fill_network(network: LearningLlm, init: Path | None, seed: int) -> None:
    """Give weights to a network whose memory holds none, one tensor at a time.

    They are those of the model folder `init`, or random ones: each tensor is drawn from the seed
    and its name, and so they differ from what `build_network` draws. Each worker keeps its part of
    a sharded tensor. Raises WeightsError.
    """
    if init is None:
        draw_tensors(network, seed, network.llm.config.initializer_range)
        return
    acoustic = init / ACOUSTIC_FOLDER
    load_tensors(network.llm, stored_tensors(init, IGNORED), init)
    stored = stored_tensors(acoustic, IGNORED_OF_WHISPER, prefix_of(acoustic))
    load_tensors(network.acoustic, stored, acoustic)


@dataclass(frozen=True)
class PositionLosses:
    """Cross entropies in nats where the loss mask is set, float32 (positions,), in their order."""

    audio: Tensor
    text: Tensor


class LearningLlm(nn.Module):
    """All that pre-training and fine-tuning update: the LLM and its acoustic encoder."""

    def __init__(self, llm: AudioLlm, acoustic: AcousticEncoder) -> None:
        super().__init__()
        self.llm = llm
        self.acoustic = acoustic
        self.always_runs_all = False
        self.kept: KeptFeatures | None = None  # while the encoder is frozen

    def forward(self, batch: PackedBatch) -> PositionLosses:
        """Return the losses of a row.

        The audio branch, a good part of the work, is left out of rows without loss on audio. With
        `always_runs_all`, it and the acoustic encoder have a part in the losses of every row, if
        only a zero: the workers of a sharded network must have the same gradients to exchange.
        """
        rows = self.features(batch.mels)
        unused = self._zero(rows) if self.always_runs_all and not len(rows) else None
        audio, text = self.llm.branches(
            batch.audio_ids[None],
            batch.text_ids[None],
            features=rows if len(rows) else None,
            continuous=batch.heard,
            position_ids=batch.position_ids[None],
            documents=Documents.of(batch.lengths, batch.audio_ids.device),
            speaks=self.always_runs_all or bool(len(batch.audio_scored)),
        )
        if unused is not None:
            audio = audio + unused
        return PositionLosses(
            _losses(audio[0], self.llm.mimo_output, batch.audio_labels, batch.audio_scored),
            _losses(text[0], self.llm.lm_head, batch.text_labels, batch.text_scored),
        )

    def _zero(self, rows: Tensor) -> Tensor:
        """Return 0, computed through the acoustic encoder and the adaptor."""
        mels = rows.new_zeros(1, self.acoustic.config.num_mel_bins, TOKEN_FRAMES)
        return 0.0 * self.llm.model.vq_adaptor(self.acoustic.encode(mels)).sum()

    def _encoded(self, groups: tuple[Mels, ...]) -> Iterable[Tensor | list[Tensor]]:
        if self.kept is not None and not self.acoustic.encoder.conv1.weight.requires_grad:
            return [self.kept.of(group.mels, self.acoustic.encode) for group in groups]
        if self.kept is not None:
            self.kept.clear()
        return self.acoustic.encode_together([group.mels for group in groups])

    def features(self, groups: tuple[Mels, ...]) -> Tensor:
        """Return the features of all pieces, in order: (rows, width)."""
        if not groups:
            return self.acoustic.encoder.conv1.weight.new_zeros(0, self.acoustic.width)
        pieces: dict[int, Tensor] = {}
        for group, some in zip(groups, self._encoded(groups), strict=True):
            for number, tokens, rows in zip(group.numbers, group.tokens, some, strict=True):
                pieces[number] = rows[:tokens]
        return torch.cat([pieces[number] for number in sorted(pieces)])


def _losses(hidden: Tensor, head: Head, labels: Tensor, scored: Tensor) -> Tensor:
    found: Tensor = head(hidden.index_select(0, scored), labels.index_select(0, scored))
    return found


COUNT_FLOOR = 1e-4  # added to the number of positions in the loss, as in the published fine-tuning


class LlmLearner(Learner[PackedBatch]):
    """The loss of a step is the mean over its text positions plus that over its audio positions.

    As in the published fine-tuning (docs/published-format.md), but with the positions of
    the whole step in place of those of one sample.
    """

    def __init__(
        self,
        network: LearningLlm,
        frozen_acoustic: float = 0.0,
        exported: Callable[[LearningLlm, Path], None] | None = None,
        text: TextTokenizer | None = None,
        filled: Callable[[LearningLlm], None] | None = None,
    ) -> None:
        """Train `network`; the acoustic encoder stays as it is for a share of the training.

        `exported` writes the model folder, and `text` decodes the answers of `examples`. A network
        on the meta device gets its weights from `filled`.
        """
        self._filled = filled
        self._adapted = any(n.endswith("adapter_a") for n, _ in network.named_parameters())
        self.network, self.frozen_acoustic = network, frozen_acoustic
        self._exported, self._text = exported, text
        llm = network.llm
        self._layer_weights = _count(llm.model.layers)
        self._audio_layer_weights = _count(llm.model.mimo_layers)
        self._head_weights = llm.lm_head.weight.numel()
        self._encoder_weights = _count(network.acoustic.encoder.layers)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        # The encoder's positions are fixed sinusoids.
        named = self.network.named_parameters()
        if self._adapted:
            return {MAIN: [p for n, p in named if _is_adapter(n)]}
        return {MAIN: [p for n, p in named if not _fixed(n)]}

    def shardable(self) -> Sequence[Sequence[nn.Module]]:
        llm, model = self.network.llm, self.network.llm.model
        return [
            *([layer] for layer in self.layers()),
            [model.embed_tokens],
            [model.norm, llm.lm_head],
            [model.mimo_norm, llm.mimo_output],
        ]

    def halve(self, module: nn.Module) -> None:
        for name, parameter in module.named_parameters():
            if not _is_adapter(name):
                parameter.data = parameter.data.to(torch.bfloat16)

    @property
    def is_empty(self) -> bool:
        return self._filled is not None

    def fill(self) -> None:
        if self._filled is not None:
            self._filled(self.network)

    def layers(self) -> Sequence[nn.Module]:
        model = self.network.llm.model
        return [*self.network.acoustic.encoder.layers, *model.layers, *model.mimo_layers]

    def prepare(self, progress: Progress) -> None:
        learns = progress.fraction >= self.frozen_acoustic and not self._adapted
        for name, parameter in self.network.acoustic.named_parameters():
            parameter.requires_grad_(learns and not _fixed(name))

    def counts(self, batch: PackedBatch) -> Mapping[str, float]:
        return {
            "text": float(len(batch.text_scored)),
            "audio": float(len(batch.audio_scored)),
        }

    def loss(self, optimizer: str, batch: PackedBatch, progress: Progress) -> Loss:
        del optimizer
        found = self.network(batch)
        counts = progress.counts
        total = found.text.sum() / (counts["text"] + COUNT_FLOOR)
        total = total + found.audio.sum() / (counts["audio"] + COUNT_FLOOR)
        parts = {f"loss/{name}": pair for name, pair in _by_task(batch, found.text, found.audio)}
        return Loss(total, None, parts)

    def flops(self, batch: PackedBatch) -> float:
        """Return 6 operations per weight and position, and those of the attention."""
        config = self.network.llm.config
        attended = sum(length * length for length in batch.lengths) / 2
        audio = bool(len(batch.audio_scored))  # the audio branch runs
        layers = config.num_hidden_layers + (config.audio_layers if audio else 0)
        weights = self._layer_weights + (self._audio_layer_weights if audio else 0)
        scored = len(batch.text_scored) + len(batch.audio_scored)
        frames = sum(group.mels.shape[0] * group.mels.shape[2] // 2 for group in batch.mels)
        return (
            6.0 * weights * batch.units
            + 6.0 * self._head_weights * scored
            + 12.0 * layers * config.hidden_size * attended
            + 6.0 * self._encoder_weights * frames
        )

    def export(self, folder: Path) -> None:
        merge(self.network)
        if self._exported is not None:
            self._exported(self.network, folder)

    def examples(self, limit: int) -> Iterator[Example]:
        """Yield the answers to the prompts in `held_out`."""
        if not self.held_out or self._text is None:
            return iter(())
        prompts = self.held_out[:limit]
        return decoded(self.network.llm, self.network.acoustic, prompts, self._text)


def _by_task(
    batch: PackedBatch, text: Tensor, audio: Tensor
) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Yield sum and count of each head's losses, over all tasks and by task."""
    tasks = sorted(set(batch.tasks))
    places = torch.tensor([tasks.index(task) for task in batch.tasks])
    task_of = places.repeat_interleave(torch.tensor(batch.lengths))
    task_of = task_of.to(batch.audio_ids.device, non_blocking=True)
    for head, losses, scored in (
        ("text", text.detach(), batch.text_scored),
        ("audio", audio.detach(), batch.audio_scored),
    ):
        owners = task_of.index_select(0, scored)
        yield head, (losses.sum(), torch.ones_like(owners).sum())
        for number, task in enumerate(tasks):
            of_task = owners == number
            yield f"{task}/{head}", ((losses * of_task).sum(), of_task.sum())


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _is_adapter(name: str) -> bool:
    return name.endswith(("adapter_a", "adapter_b"))


def _fixed(name: str) -> bool:
    return name.endswith("embed_positions.weight")
