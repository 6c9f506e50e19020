"""What the LLM trains and evaluates on: batches of a corpus, held-out data, and their amount."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from wavemill.model.data.augment import Augmentation
from wavemill.model.data.batch import PackedBatch, audible_batch
from wavemill.model.data.corpus import Corpus, nothing_held_out
from wavemill.model.data.documents import Document, Task, Tasks
from wavemill.model.data.files import Files
from wavemill.model.data.llm import LlmBatches, epoch, epoch_positions
from wavemill.model.data.mixture import Mixture, owner
from wavemill.model.data.planning import ConversationPlanner, Planner, PretrainPlanner, Span
from wavemill.model.data.source import DataError, Share
from wavemill.model.data.texts import Texts
from wavemill.model.llm.config import LlmConfig
from wavemill.model.prompt.layout import Format, Vocabulary
from wavemill.model.prompt.text import TextTokenizer, load_text_tokenizer
from wavemill.model.prompt.whisper_bpe import WhisperBpe
from wavemill.model.tokenizer.config import EncoderConfig
from wavemill.model.tokenizer.kmeans import KMeansTokenizer
from wavemill.model.train.llm_output import (
    ExamplePrompt,
    prompt_of_conversation,
    prompt_of_recording,
)
from wavemill.model.train.loop import TrainingData
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import PretrainRecipe, SftRecipe

MB = 1 << 20
COUNTED_ROWS = 1000  # of conversations that are all laid out to count their positions: seconds
HELD_OUT_FILES = 64  # of a corpus, that are searched for held-out data


@dataclass
class LlmData:
    """The data of one training. Raises DataError and WeightsError; builds no network."""

    recipe: PretrainRecipe | SftRecipe
    config: LlmConfig
    encoder: EncoderConfig
    place: str  # WORKDIR, by path or URL
    texts: tuple[str, ...] = ()
    init: Path | None = None  # model folder, whose text tokenizer is used
    semantic: Path | None = None  # the corpus's tokenizer, for augmentation

    def __post_init__(self) -> None:
        config = self.config
        self.kind: Literal["pretrain", "sft"] = (
            "sft" if isinstance(self.recipe, SftRecipe) else "pretrain"
        )
        self.text: TextTokenizer = load_text_tokenizer(self.init or Path(), config.text_vocab)
        vocabulary = Vocabulary(config.text_vocab, config.audio_offset)
        self.form = Format(vocabulary, delay=config.audio_delay)
        self.positions = min(self.recipe.data.positions, config.max_position_embeddings)
        self.tasks = Tasks(vocabulary, config.audio_delay, self.positions)

    def of_rank(self, ranks: Ranks) -> TrainingData[PackedBatch]:
        """Return what one worker trains on."""
        return TrainingData(
            batches=self.batches(Share(ranks.rank, ranks.world)),
            held_out=self._held_out_batches(ranks),
            examples=[] if self.recipe.loop.shard else self._prompts(),
            notes=(*self._notes(), *self._memory_notes(ranks)),
            total_units=self._total(),
        )

    def batches(self, share: Share) -> LlmBatches:
        """Return the micro-batches of one rank."""
        recipe = self.recipe
        span = Span(
            streams=recipe.data.streams,
            seed=recipe.loop.seed,
            window_bytes=recipe.data.window_bytes,
            whole=recipe.data.memory_gb is not None,
        )
        corpus = Corpus(self.files)
        planner = self.planner(corpus, self.opened_texts())
        return LlmBatches(
            planner, self.encoder, recipe.data.positions, span, share, recipe.data.workers
        )

    def planner(self, corpus: Corpus, texts: Texts | None, augmented: bool = True) -> Planner:
        """Return the planner of a corpus.

        With `augmented` False, what is heard stays as it is, and every row comes once in an epoch.
        """
        recipe = self.recipe
        if isinstance(recipe, SftRecipe):
            return ConversationPlanner(
                corpus,
                self.text,
                self.form,
                self.positions,
                self._augmentation(recipe) if augmented else None,
                recipe.hidden_codes if augmented else 0.0,
                recipe.loop.seed,
                self._mixture if augmented else None,
            )
        whisper = corpus.metadata.get("text_tokenizer", "").startswith("whisper_bpe")
        stored = whisper and isinstance(self.text, WhisperBpe)
        return PretrainPlanner(corpus, texts, self.text, self.tasks, recipe.weights, stored)

    def opened_texts(self) -> Texts | None:
        return Texts.open(self.texts) if self.texts else None

    @cached_property
    def files(self) -> Files:
        return Corpus.open(self.place, self.kind).files

    def _augmentation(self, recipe: SftRecipe) -> Augmentation | None:
        if recipe.augment is None:
            return None
        if self.semantic is None:
            raise DataError("augmentation needs the corpus's tokenizer; remedy: --semantic FOLDER")
        codes: Callable[[np.ndarray], np.ndarray] = KMeansTokenizer.from_pretrained(
            self.semantic
        ).codes
        return Augmentation(recipe.augment, codes, recipe.loop.seed)

    def _total(self) -> int:
        """Return the positions of the whole training."""
        recipe = self.recipe
        if recipe.tokens is not None:
            return recipe.tokens
        if isinstance(recipe, SftRecipe):
            if self._mixture is not None:
                return max(1, self._mixture.total(self._positions))
            return max(1, round(recipe.epochs * sum(self._positions.values())))
        planner = self.planner(Corpus(self.files, audio=False), self.opened_texts(), False)
        return max(1, round(recipe.epochs * epoch_positions(planner)))

    @cached_property
    def _positions(self) -> dict[str, int]:
        """The positions of an epoch of each data set; of a large corpus, an estimate."""
        sets = self.recipe.datasets if isinstance(self.recipe, SftRecipe) else ()
        planner = self.planner(Corpus(self.files, audio=False), None, False)
        assert isinstance(planner, ConversationPlanner)
        many = sum(map(sum, self.files.sizes)) > COUNTED_ROWS
        found = planner.positions_by(partial(owner, sets), many, self.recipe.loop.seed)
        if not found:
            raise DataError(f"{self.files.place}: nothing there to learn from")
        return found

    @cached_property
    def _mixture(self) -> Mixture | None:
        recipe = self.recipe
        if not isinstance(recipe, SftRecipe) or not recipe.datasets:
            return None
        sets, seed = recipe.datasets, recipe.loop.seed
        weighted = sets[0].weight is not None
        found = Mixture.of(sets, recipe.epochs, self._positions if weighted else {}, seed)
        if weighted and found.passes <= 0:
            raise DataError(f"{self.files.place}: no row is of any of `datasets`")
        return found

    @cached_property
    def _searched(self) -> Files:
        """The files that are searched for held-out data."""
        files = self.files
        return Files(files.place, files.files[:: max(1, len(files.files) // HELD_OUT_FILES)])

    @cached_property
    def _held_out(self) -> Corpus | None:
        """The held-out split, None if it has no rows."""
        split = frozenset({self.recipe.data.held_out_split})
        quick = Corpus(self._searched, split, audio=False)
        for number in range(len(self._searched.files)):
            rows = quick.segments if self.kind == "pretrain" else quick.conversations
            if next(iter(rows(number)), None) is not None:
                return Corpus(self._searched, split)
        return None

    def _notes(self) -> tuple[str, ...]:
        """Return a message if nothing is held out."""
        if self._held_out is not None or not self.recipe.loop.evaluation.wanted:
            return ()
        count, whole = len(self._searched.files), len(self.files.files)
        part = f" ({count} of {whole} files looked into)" if count < whole else ""
        there: set[str | None] = set().union(
            *(file.values("split") for file in self._searched.files)
        )
        split, place = self.recipe.data.held_out_split, self.files.place + part
        return (nothing_held_out(place, split, "data.held_out_split", there),)

    def _memory_notes(self, ranks: Ranks) -> tuple[str, ...]:
        """Return how much memory the windows take, where the recipe bounds it."""
        data = self.recipe.data
        if data.memory_gb is None:
            return ()
        each = 2 * data.window_bytes * -(-data.streams // ranks.world) / (1 << 30)
        size = data.window_bytes / MB
        return (f"windows of {size:.0f} MB take up to {each:.1f} GB of memory on each worker",)

    def _held_out_batches(self, ranks: Ranks) -> list[PackedBatch]:
        """Return this rank's held-out micro-batches, as many as every other rank has."""
        held_out, count = self._held_out, self.recipe.loop.evaluation.batches
        if held_out is None or not count:
            return []
        rows: list[list[Document]] = [[]]
        planner = self.planner(held_out, None, augmented=False)
        for one in epoch(planner, Span(window_bytes=MB)):
            if one.loss_positions:
                if sum(map(len, rows[-1])) + len(one) > self.positions:
                    rows.append([])
                if len(rows) > count:
                    break
                rows[-1].append(one)
        rows = [row for row in rows[:count] if row]
        fair = len(rows) // ranks.world * ranks.world
        mine = rows[ranks.rank : fair : ranks.world] if fair else rows
        made = [audible_batch(row, self.encoder, held_out.problems) for row in mine]
        return [batch for batch in made if batch is not None]

    def _prompts(self) -> list[ExamplePrompt]:
        """Return the prompts that are answered at each evaluation, in the order of the files."""
        recipe, held_out = self.recipe, self._held_out
        if held_out is None or not (isinstance(recipe, SftRecipe) or recipe.weights.get(Task.ASR)):
            return []  # without the ASR task, the model cannot transcribe
        limit = recipe.loop.evaluation.examples
        found: list[ExamplePrompt] = []
        for number in range(len(held_out.files.files)):
            if self.kind == "pretrain":
                rows: Iterator[ExamplePrompt | None] = (
                    prompt_of_recording(one, self.form) for one in held_out.recordings(number)
                )
            else:
                rows = (
                    prompt_of_conversation(one, self.text, self.form)
                    for one in held_out.conversations(number)
                )
            found += islice((row for row in rows if row is not None), limit - len(found))
            if len(found) == limit:
                break
        return found
