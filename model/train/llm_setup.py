"""From a corpus and a recipe to everything that a worker needs to train the LLM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from wavemill.model.assistant import ACOUSTIC_FOLDER
from wavemill.model.data.augmented import Augmentation
from wavemill.model.data.batch import PackedBatch, audible_batch
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.document import Document
from wavemill.model.data.files import Files
from wavemill.model.data.llm import LlmBatches, epoch, epoch_positions
from wavemill.model.data.planning import ConversationPlanner, Planner, PretrainPlanner, Span
from wavemill.model.data.pretraining import Task, Tasks
from wavemill.model.data.source import DataError, Share
from wavemill.model.data.texts import Texts
from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Format, Vocabulary
from wavemill.model.prompt.text import TextTokenizer, load_text_tokenizer
from wavemill.model.prompt.whisper_bpe import WhisperBpe
from wavemill.model.tokenizer.acoustic import STACKED, AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig, presets
from wavemill.model.tokenizer.kmeans import KMeansTokenizer
from wavemill.model.train.held_out import none_held_out
from wavemill.model.train.job import JobFromModel, Parts
from wavemill.model.train.llm import LlmLearner
from wavemill.model.train.llm_examples import (
    Asked,
    asked_of_conversation,
    asked_of_recording,
    decoded,
)
from wavemill.model.train.llm_export import export_llm
from wavemill.model.train.llm_network import LearningLlm
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import LlmRecipe, NetworkSettings, PretrainRecipe, SftRecipe

Kind = Literal["pretrain", "sft"]
MB = 1 << 20
LOOKED_INTO = 64  # files that are searched for held-out data


@dataclass(frozen=True)
class LlmTraining(JobFromModel):
    """Pre-training or fine-tuning on a corpus."""

    recipe: PretrainRecipe | SftRecipe
    texts: tuple[str, ...] = ()
    semantic: Path | None = None  # folder of the corpus's tokenizer, to export and to augment with

    @property
    def name(self) -> Kind:
        return "sft" if isinstance(self.recipe, SftRecipe) else "pretrain"

    def build(self, ranks: Ranks) -> Parts[PackedBatch]:
        return build(self, ranks)


def build_network(
    settings: NetworkSettings, init: Path | None, codes: int, seed: int
) -> LearningLlm:
    """Return the network of a model folder, or a random one with `codes` audio codes, float32.

    Raises DataError when the model folder has another codebook, and WeightsError.
    """
    if init is not None:
        llm = AudioLlm.from_pretrained(init, dtype=torch.float32)
        acoustic = AcousticEncoder.from_pretrained(init / ACOUSTIC_FOLDER, dtype=torch.float32)
        if llm.config.audio_codes != codes:
            raise DataError(
                f"{init} has a codebook of {llm.config.audio_codes} codes, the corpus one of "
                f"{codes}; remedy: curate with the tokenizer of the model"
            )
        network = LearningLlm(llm, acoustic)
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()  # no view of a file any more
        return network
    torch.manual_seed(seed)
    _, encoder = presets(settings.preset)
    encoder = EncoderConfig.model_validate(encoder.model_dump() | settings.acoustic)
    base = preset(settings.preset)
    config = LlmConfig.model_validate(
        base.published()
        | {"kimia_adaptor_input_dim": STACKED * encoder.d_model}
        | {"vocab_size": base.audio_offset + codes}
        | settings.llm
    )
    return LearningLlm(AudioLlm(config), AcousticEncoder(encoder))


def build(training: LlmTraining, ranks: Ranks) -> Parts[PackedBatch]:
    """Put a training together on one worker. Raises DataError and WeightsError."""
    recipe = training.recipe
    corpus = Corpus.open(training.corpus, training.name)
    codes = corpus.codebook_size
    network = build_network(recipe.network, training.init, codes, recipe.loop.seed)
    network.llm.model.recompute = recipe.loop.recompute
    network.always_hears = recipe.loop.shard
    planners = Planners(training, network.llm.config)
    span = Span(
        streams=recipe.data.streams,
        seed=recipe.loop.seed,
        window_bytes=int(recipe.data.window_mb * MB),
    )
    batches = LlmBatches(
        planners.of(corpus, Texts.open(training.texts) if training.texts else None),
        network.acoustic.filled,
        recipe.data.positions,
        span,
        Share(ranks.rank, ranks.world),
    )
    looked_into = _some(corpus.files)
    held_out = planners.held_out(looked_into)
    examples = [] if recipe.loop.shard else planners.asked(held_out)
    learner = LlmLearner(
        network,
        recipe.frozen_acoustic,
        lambda made, folder: export_llm(
            made, folder, training.init, training.semantic, corpus.recording_ids()
        ),
        lambda made, limit: decoded(made, examples[:limit], planners.text),
    )
    return Parts(
        learner=learner,
        batches=batches,
        held_out=_evaluated(planners, held_out, network, recipe, ranks),
        notes=_notes(corpus.files, looked_into, recipe) if held_out is None else (),
        total_units=_total(planners, corpus.files, training),
    )


@dataclass
class Planners:
    """Makes planners of one training, for all the purposes that there are."""

    training: LlmTraining
    config: LlmConfig

    def __post_init__(self) -> None:
        config = self.config
        self.text: TextTokenizer = load_text_tokenizer(
            self.training.init or Path(), config.text_vocab
        )
        vocabulary = Vocabulary(config.text_vocab, config.audio_offset)
        self.form = Format(vocabulary, delay=config.audio_delay)
        self.positions = min(self.training.recipe.data.positions, config.max_position_embeddings)
        self.tasks = Tasks(vocabulary, config.audio_delay, self.positions)

    def of(self, corpus: Corpus, texts: Texts | None, changed: bool = True) -> Planner:
        """Return the planner of a corpus; `changed` False leaves sounds as they are."""
        recipe = self.training.recipe
        if isinstance(recipe, SftRecipe):
            heard = self._augmentation(recipe) if changed else None
            return ConversationPlanner(corpus, self.text, self.form, self.positions, heard)
        own = corpus.metadata.get("text_tokenizer", "").startswith("whisper_bpe")
        stored = own and isinstance(self.text, WhisperBpe)
        return PretrainPlanner(corpus, texts, self.text, self.tasks, recipe.weights, stored)

    def held_out(self, files: Files) -> Corpus | None:
        """Return the held-out split of these files, None when there is none."""
        split = self.training.recipe.data.held_out_split
        quick = Corpus(files, frozenset({split}), audio=False)
        for number in range(len(files.files)):
            rows = quick.segments if self.training.name == "pretrain" else quick.conversations
            if next(iter(rows(number)), None) is not None:
                return Corpus(files, frozenset({split}))
        return None

    def asked(self, held_out: Corpus | None) -> list[Asked]:
        """Return what is decoded at each evaluation, in the order of the files."""
        recipe = self.training.recipe
        if held_out is None or not (isinstance(recipe, SftRecipe) or recipe.weights.get(Task.ASR)):
            return []  # what did not learn to write down is not asked to
        limit = recipe.loop.evaluation.examples
        found: list[Asked] = []
        for number in range(len(held_out.files.files)):
            if self.training.name == "pretrain":
                rows: Iterator[Asked | None] = (
                    asked_of_recording(one, self.form) for one in held_out.recordings(number)
                )
            else:
                rows = (
                    asked_of_conversation(one, self.text, self.form)
                    for one in held_out.conversations(number)
                )
            found += islice((row for row in rows if row is not None), limit - len(found))
            if len(found) == limit:
                break
        return found

    def _augmentation(self, recipe: SftRecipe) -> Augmentation | None:
        if recipe.augment is None:
            return None
        if self.training.semantic is None:
            raise DataError("augmentation needs the corpus's tokenizer; remedy: --semantic FOLDER")
        codes: Callable[[np.ndarray], np.ndarray] = KMeansTokenizer.from_pretrained(
            self.training.semantic
        ).codes
        return Augmentation(recipe.augment, codes, recipe.loop.seed)


def _some(files: Files) -> Files:
    """Return the files that are searched for held-out data."""
    return Files(files.place, files.files[:: max(1, len(files.files) // LOOKED_INTO)])


def _notes(files: Files, looked_into: Files, recipe: LlmRecipe) -> tuple[str, ...]:
    """Return what to say where nothing is held out."""
    if not recipe.loop.evaluation.wanted:
        return ()
    count, whole = len(looked_into.files), len(files.files)
    part = f" ({count} of {whole} files looked into)" if count < whole else ""
    there: set[str | None] = set().union(*(one.values("split") for one in looked_into.files))
    split = recipe.data.held_out_split
    return (none_held_out(files.place + part, split, "data.held_out_split", there),)


def _evaluated(
    planners: Planners,
    held_out: Corpus | None,
    network: LearningLlm,
    recipe: LlmRecipe,
    ranks: Ranks,
) -> list[PackedBatch]:
    """Return this rank's held-out micro-batches, as many as every other rank has."""
    count = recipe.loop.evaluation.batches
    if held_out is None or not count:
        return []
    rows: list[list[Document]] = [[]]
    planner = planners.of(held_out, None, changed=False)
    for one in epoch(planner, Span(window_bytes=MB)):
        if one.learnt:
            if sum(map(len, rows[-1])) + len(one) > planners.positions:
                rows.append([])
            if len(rows) > count:
                break
            rows[-1].append(one)
    rows = [row for row in rows[:count] if row]
    fair = len(rows) // ranks.world * ranks.world
    mine = rows[ranks.rank : fair : ranks.world] if fair else rows
    made = [audible_batch(row, network.acoustic.filled, held_out.problems) for row in mine]
    return [batch for batch in made if batch is not None]


def _total(planners: Planners, files: Files, training: LlmTraining) -> int:
    """Return how many positions are to be learnt."""
    recipe = training.recipe
    if recipe.tokens is not None:
        return recipe.tokens
    quick = Corpus(files, audio=False)
    texts = Texts.open(training.texts) if training.texts else None
    return max(1, round(recipe.epochs * epoch_positions(planners.of(quick, texts, changed=False))))
