"""The jobs that train the networks of speech: their networks, and their clips of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavemill.model.data.clip_batches import ClipBatches
from wavemill.model.data.clips import (
    TOKEN_MS,
    ClipBatch,
    ClipSettings,
    SpeechClip,
    batch_of,
    clips_of,
    cut,
)
from wavemill.model.data.corpus import Corpus, nothing_held_out
from wavemill.model.data.files import Files
from wavemill.model.data.source import DataError, Problems, Share
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.detokenizer.layout import read_config
from wavemill.model.io.folders import resolve
from wavemill.model.tokenizer.pieces import SAMPLE_RATE
from wavemill.model.train.loop import Job, JobFromModel, TrainingData
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.speech.flow import FlowLearner, start_quiet
from wavemill.model.train.speech.recipe import (
    FlowRecipe,
    SpeechRecipe,
    Stage,
    TokenizerRecipe,
    VocoderRecipe,
)
from wavemill.model.train.speech.tokenizer import TokenizerLearner
from wavemill.model.train.speech.vocoder import VocoderLearner


@dataclass(frozen=True)
class TokenizerTraining(Job):
    """The semantic tokenizer, on the transcripts of a corpus."""

    recipe: TokenizerRecipe

    @property
    def name(self) -> str:
        return "tokenizer"

    def learner(self) -> TokenizerLearner:
        recipe = self.recipe
        torch.manual_seed(recipe.loop.seed)
        learner = TokenizerLearner(recipe.encoder, recipe.tokenizer)
        if recipe.whisper is not None:
            learner.start_from_whisper(recipe.whisper)
        return learner

    def data(self, ranks: Ranks) -> TrainingData[ClipBatch]:
        return _Clips(self.corpus, self.recipe, SAMPLE_RATE, ranks).all("held_out_split")


@dataclass(frozen=True)
class DetokenizerTraining(JobFromModel):
    """One stage of the detokenizer, on the tokens of a corpus."""

    recipe: FlowRecipe | VocoderRecipe
    stage: Stage
    preset: str  # networks that are built without `init`

    @property
    def name(self) -> str:
        return f"detokenizer/{self.stage}"

    def learner(self) -> FlowLearner | VocoderLearner:
        recipe = self.recipe
        codes = Corpus.open(self.corpus, recipe.clips.corpus).codebook_size
        torch.manual_seed(recipe.loop.seed)
        flow, vocoder = _networks(self.preset, self.init, codes)
        if isinstance(recipe, FlowRecipe):
            flow.recompute = recipe.loop.recompute
            return FlowLearner(flow, vocoder, recipe.flow)
        return VocoderLearner(vocoder, flow, recipe.vocoder)

    def data(self, ranks: Ranks) -> TrainingData[ClipBatch]:
        config = _config(self.preset, self.init)
        clips = _Clips(self.corpus, self.recipe, config.vocoder.sampling_rate, ranks)
        return clips.all(f"{self.stage}.held_out_split")

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"preset": self.preset}


def _config(preset: str, init: Path | None) -> DetokenizerConfig:
    return DetokenizerConfig.preset(preset) if init is None else read_config(resolve(init))


def _networks(preset: str, init: Path | None, codes: int) -> tuple[FlowNetwork, BigVgan]:
    """Return the networks of a model folder, or random ones for `codes` tokens, in float32."""
    if init is None:
        config = _config(preset, None)
        flow_config = config.flow.model_copy(update={"semantic_vocab_size": codes})
        flow = FlowNetwork(flow_config)
        start_quiet(flow)
        return flow, BigVgan(config.vocoder)
    detokenizer = Detokenizer.from_pretrained(init)
    known = detokenizer.flow.config.semantic_vocab_size
    if known != codes:
        raise DataError(
            f"{init} knows {known} semantic tokens, the corpus has {codes}; "
            "remedy: curate with the tokenizer of the model"
        )
    for network in (detokenizer.flow, detokenizer.vocoder):
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()  # no longer a view of the file
    return detokenizer.flow, detokenizer.vocoder


@dataclass
class _Clips:
    """The clips of a corpus that one worker trains and evaluates on."""

    place: str  # WORKDIR, by path or URL
    recipe: SpeechRecipe
    sample_rate: int
    ranks: Ranks

    @cached_property
    def files(self) -> Files:
        return Corpus.open(self.place, self.recipe.clips.corpus).files

    def all(self, field: str) -> TrainingData[ClipBatch]:
        """Return all of it; `field` is the recipe's field that names the held-out split."""
        return TrainingData(
            self.batches(), self.total_units(), self.held_out(), self.examples(), self.notes(field)
        )

    def batches(self) -> ClipBatches:
        share = Share(self.ranks.rank, self.ranks.world)
        return ClipBatches(Corpus(self.files), self.recipe.clips, self.sample_rate, share)

    def total_units(self) -> int:
        """Return the milliseconds of audio of the whole training."""
        recipe = self.recipe
        if recipe.hours is not None:
            return round(recipe.hours * 3_600_000)
        quick = Corpus(self.files, audio=False)
        crop = recipe.clips.crop_tokens
        tokens = sum(min(c.tokens, crop or c.tokens) for c in clips_of(quick, recipe.clips))
        return max(1, round(recipe.epochs * tokens * TOKEN_MS))

    def held_out(self) -> list[ClipBatch]:
        """Return this rank's micro-batches to evaluate on, as many as every other rank has."""
        recipe, world = self.recipe, self.ranks.world
        wanted = recipe.loop.evaluation.batches
        if not wanted:
            return []
        clips = list(islice(self._held_out_clips(recipe.clips), wanted * recipe.clips.batch_clips))
        groups = cut(clips, recipe.clips, np.random.default_rng(0))[:wanted]
        fair = len(groups) // world * world
        mine = groups[self.ranks.rank : fair : world] if fair else groups
        return list(_batches(mine, self.sample_rate))

    def examples(self) -> ClipBatch | None:
        """Return the whole clips that are decoded at each evaluation."""
        whole = self.recipe.clips.model_copy(update={"crop_tokens": None})
        limit = self.recipe.loop.evaluation.examples
        return next(
            _batches([list(islice(self._held_out_clips(whole), limit))], self.sample_rate), None
        )

    def notes(self, field: str) -> tuple[str, ...]:
        """Return a message if nothing is held out."""
        recipe = self.recipe
        if self._something_held_out or not recipe.loop.evaluation.wanted:
            return ()
        splits: set[str | None] = set().union(*(one.values("split") for one in self.files.files))
        there = {one for one in splits if self._has(one)}
        place, split, speaker = self.files.place, recipe.held_out_split, recipe.clips.speaker
        return (nothing_held_out(place, split, field, there, speaker),)

    @cached_property
    def _something_held_out(self) -> bool:
        return self._has(self.recipe.held_out_split)

    def _has(self, split: str | None) -> bool:
        """Whether a split has a clip that the settings want; reads no audio."""
        quick = Corpus(self.files, frozenset({split}), audio=False)
        return next(clips_of(quick, self.recipe.clips), None) is not None

    def _held_out_clips(self, clips: ClipSettings) -> Iterator[SpeechClip]:
        if not self._something_held_out:
            return
        split = frozenset({self.recipe.held_out_split})
        for clip in clips_of(Corpus(self.files, split), clips):
            crop = clips.crop_tokens
            yield clip if crop is None else clip.beginning(crop)


def _batches(groups: Iterable[list[SpeechClip]], sample_rate: int) -> Iterator[ClipBatch]:
    for group in groups:
        if (batch := batch_of(group, sample_rate, Problems())) is not None:
            yield batch
