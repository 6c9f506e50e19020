"""From a corpus and a recipe to everything that a worker needs to train a network of speech."""

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
    Clip,
    ClipBatch,
    ClipSettings,
    batch_of,
    clips_of,
    cut,
)
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.files import Files
from wavemill.model.data.problems import Problems
from wavemill.model.data.source import DataError, Share
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.tokenizer.pieces import SAMPLE_RATE
from wavemill.model.train.held_out import none_held_out
from wavemill.model.train.job import Job, JobFromModel, Parts
from wavemill.model.train.learner import Learner
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.speech.flow import FlowLearner, start_quiet
from wavemill.model.train.speech.recipe import (
    Course,
    FlowCourse,
    Stage,
    TokenizerRecipe,
    VocoderCourse,
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

    def build(self, ranks: Ranks) -> Parts[ClipBatch]:
        recipe = self.recipe
        data = _Data(self.corpus, recipe, SAMPLE_RATE, ranks)
        torch.manual_seed(recipe.loop.seed)
        learner = TokenizerLearner(recipe.encoder, recipe.tokenizer, data.examples())
        if recipe.whisper is not None:
            learner.start_from_whisper(recipe.whisper)
        return data.parts(learner, "held_out_split")


@dataclass(frozen=True)
class DetokenizerTraining(JobFromModel):
    """One stage of the detokenizer, on the tokens of a corpus."""

    recipe: FlowCourse | VocoderCourse
    stage: Stage
    preset: str  # networks where there is nothing to begin with

    @property
    def name(self) -> str:
        return f"detokenizer/{self.stage}"

    def build(self, ranks: Ranks) -> Parts[ClipBatch]:
        course = self.recipe
        corpus = Corpus.open(self.corpus, course.clips.corpus)
        torch.manual_seed(course.loop.seed)
        flow, vocoder = _networks(self.preset, self.init, corpus.codebook_size)
        data = _Data(self.corpus, course, vocoder.config.sampling_rate, ranks)
        examples = data.examples()
        learner: FlowLearner | VocoderLearner
        if isinstance(course, FlowCourse):
            learner = FlowLearner(flow, vocoder, course.flow, examples)
        else:
            learner = VocoderLearner(vocoder, flow, course.vocoder, examples)
        return data.parts(learner, f"{self.stage}.held_out_split")

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"preset": self.preset}


def _networks(preset: str, init: Path | None, codes: int) -> tuple[FlowNetwork, BigVgan]:
    """Return the networks of a model folder, or random ones for `codes` tokens, in float32."""
    if init is None:
        config = DetokenizerConfig.preset(preset)
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
            parameter.data = parameter.data.clone()  # no view of a file any more
    return detokenizer.flow, detokenizer.vocoder


@dataclass
class _Data:
    """The clips of a course, for all the purposes that there are."""

    place: str
    course: Course
    sample_rate: int
    ranks: Ranks

    @cached_property
    def files(self) -> Files:
        return Corpus.open(self.place, self.course.clips.corpus).files

    def parts(self, learner: Learner[ClipBatch], field: str) -> Parts[ClipBatch]:
        """Put it together; `field` is that of the recipe which names the held-out split."""
        notes = self.notes(field)
        return Parts(learner, self.batches(), self.total_units(), self.held_out(), notes)

    def batches(self) -> ClipBatches:
        share = Share(self.ranks.rank, self.ranks.world)
        return ClipBatches(Corpus(self.files), self.course.clips, self.sample_rate, share)

    def total_units(self) -> int:
        """Return the milliseconds of audio to learn."""
        course = self.course
        if course.hours is not None:
            return round(course.hours * 3_600_000)
        quick = Corpus(self.files, audio=False)
        crop = course.clips.crop_tokens
        tokens = sum(min(c.tokens, crop or c.tokens) for c in clips_of(quick, course.clips))
        return max(1, round(course.epochs * tokens * TOKEN_MS))

    def held_out(self) -> list[ClipBatch]:
        """Return this rank's micro-batches to evaluate on, as many as every other rank has."""
        course, world = self.course, self.ranks.world
        wanted = course.loop.evaluation.batches
        if not wanted:
            return []
        clips = list(islice(self._others(course.clips), wanted * course.clips.batch_clips))
        groups = cut(clips, course.clips, np.random.default_rng(0))[:wanted]
        fair = len(groups) // world * world
        mine = groups[self.ranks.rank : fair : world] if fair else groups
        return list(_made(mine, self.sample_rate))

    def examples(self) -> ClipBatch | None:
        """Return the whole clips that are decoded at each evaluation."""
        whole = self.course.clips.model_copy(update={"crop_tokens": None})
        limit = self.course.loop.evaluation.examples
        return next(_made([list(islice(self._others(whole), limit))], self.sample_rate), None)

    def notes(self, field: str) -> tuple[str, ...]:
        """Return what to say where nothing is held out."""
        course = self.course
        if self._something_held_out or not course.loop.evaluation.wanted:
            return ()
        splits: set[str | None] = set().union(*(one.values("split") for one in self.files.files))
        there = {one for one in splits if self._has(one)}
        place, split, speaker = self.files.place, course.held_out_split, course.clips.speaker
        return (none_held_out(place, split, field, there, speaker),)

    @cached_property
    def _something_held_out(self) -> bool:
        return self._has(self.course.held_out_split)

    def _has(self, split: str | None) -> bool:
        """Whether a split has a clip that is wanted; no audio is read."""
        quick = Corpus(self.files, frozenset({split}), audio=False)
        return next(clips_of(quick, self.course.clips), None) is not None

    def _others(self, clips: ClipSettings) -> Iterator[Clip]:
        if not self._something_held_out:
            return
        split = frozenset({self.course.held_out_split})
        for clip in clips_of(Corpus(self.files, split), clips):
            crop = clips.crop_tokens
            yield clip if crop is None else clip.beginning(crop)


def _made(groups: Iterable[list[Clip]], sample_rate: int) -> Iterator[ClipBatch]:
    for group in groups:
        if (batch := batch_of(group, sample_rate, Problems())) is not None:
            yield batch
