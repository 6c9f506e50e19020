"""A model asked about the items of benchmarks, and its answers scored: `wavemill evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import Items
from wavemill.model.evaluate.benchmarks.schema import Benchmark
from wavemill.model.evaluate.judge.asking import Judge
from wavemill.model.evaluate.models.answering import Model
from wavemill.model.evaluate.models.spec import ModelSpec, identity_of, load_model, versions
from wavemill.model.evaluate.recipes.recipe import Recipe
from wavemill.model.evaluate.runs.execute import (
    Answerer,
    ItemAnswerer,
    RunProgress,
    answer_all,
    one_by_one,
)
from wavemill.model.evaluate.runs.record import Record, begin, now, read_record
from wavemill.model.evaluate.runs.score import StoredScores, read_item_scores, score_run, scorer_for
from wavemill.model.evaluate.runs.speech import Listeners, SpeechScores, score_speech
from wavemill.model.evaluate.scorers.asr import AsrScorer, worst
from wavemill.model.evaluate.scoring import ItemScore, Mode, Scorer
from wavemill.model.io.folders import HUB_FILES, name_of, resolve
from wavemill.model.learnt_from import read_learnt_from
from wavemill.pipeline.benchmark_items import OpenedBenchmark
from wavemill.pipeline.config import ConfigError


class AskedModel:
    """A model, in this process or in workers on Ray, and the recipe by which it is asked."""

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        workers: int | None = None,
        address: str | None = None,
        batch: int | None = None,
    ) -> None:
        """With `workers` or the `address` of a cluster, the model is asked on Ray.

        `batch` is the number of items at a time; None: the model's own. Raises ModelError or
        RecipeError; if workers load the model, `answers` raises these later.
        """
        self._spec, self._recipe = spec, recipe
        self._workers, self._address = workers, address
        self._identity = identity_of(spec)
        self._batch = batch or spec.batch
        self._model: Model | None = None

    def begin(self, folder: Path, label: str, test: OpenedBenchmark, limit: int | None) -> Record:
        """Start the run in a folder, or resume the one that is there; returns its record.

        `limit`: only the first so many items are asked about. Raises RunError for another run.
        """
        items = test.items
        record = Record(
            label=label,
            benchmark=test.benchmark,
            items=len(items),
            items_sha256=items.digest(),
            limit=limit if limit is not None and limit < len(items) else None,
            learnt=learnt_items(self._spec, items),
            model=self._identity,
            recipe=self._recipe,
            seed=self._spec.seed,
            versions=versions(),
            created=now(),
        )
        return begin(folder, record)

    def answers(
        self, folder: Path, record: Record, test: OpenedBenchmark, retry_failed: bool = False
    ) -> Iterator[RunProgress]:
        """Ask about every item without an answer and store the answers; see `answer_all`."""
        answerer = self._answerer(test.benchmark)
        return answer_all(folder, test.items, answerer, self._batch, record.limit, retry_failed)

    def _answerer(self, benchmark: Benchmark) -> Answerer:
        if self._workers is None and self._address is None:
            self._model = self._model or load_model(self._spec, self._recipe)
            return one_by_one(ItemAnswerer(self._model, self._recipe, benchmark))
        from wavemill.pipeline.evaluation_workers import ray_answerer  # Ray only where it is used

        gpus = 1.0 if self._spec.device.startswith("cuda") else 0.0
        make = partial(_item_answerer, self._spec, self._recipe, benchmark)
        return ray_answerer(make, self._workers or 1, self._address, gpus)


def _item_answerer(spec: ModelSpec, recipe: Recipe, benchmark: Benchmark) -> ItemAnswerer:
    """Load a model in a worker."""
    return ItemAnswerer(load_model(spec, recipe), recipe, benchmark)


def stored_record(folder: Path) -> Record:
    """Return the record of a run whose answers are there. Raises ConfigError and RunError."""
    record = read_record(folder)
    if record is None:
        raise ConfigError(f"--rescore: there is no run in {folder}")
    return record


def label_of(spec: ModelSpec) -> str:
    """Return the name of a model in tables, if a person gives none."""
    if spec.kind == "endpoint":
        return spec.served
    path = Path(spec.source)
    return name_of(path) if path.is_dir() else spec.source


def file_name(label: str) -> str:
    """Return the name of the folder of a model's runs. Raises ConfigError."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in label).strip(".")
    if not name:
        raise ConfigError(f"--label: {label!r} makes no name of a folder")
    return name


def learnt_items(spec: ModelSpec, items: Items) -> int | None:
    """Return how many items come from recordings that the model was trained on; None: unknown."""
    if spec.kind != "assistant":
        return None
    recordings = read_learnt_from(resolve(spec.source, files=HUB_FILES))
    if not recordings:
        return None
    return sum(one.recording_id in recordings for one in items.read(sound=False))


@dataclass(frozen=True)
class RunScores:
    """The scores of a run that were computed and stored; None: not asked for."""

    scores: StoredScores | None
    worst: Sequence[ItemScore]  # transcripts with most errors, worst first
    speech: SpeechScores | None


class RunScoring:
    """Scores the answers of runs."""

    def __init__(
        self, judge: Callable[[], Judge], mode: Mode = "default", speaks: bool = False
    ) -> None:
        """`judge` is called once it is needed. With `speaks`, `listeners` rate the speech, too."""
        self._judge, self._mode, self._speaks = judge, mode, speaks
        self.listeners = Listeners()

    def scorer(self, benchmark: Benchmark) -> Scorer | None:
        """Return the scorer of what is written; None if only speech is rated.

        Raises RunError and EvaluationError, as `score` would after the work.
        """
        if self._speaks and benchmark.scorer is None:
            return None
        return scorer_for(benchmark, self._mode, self._judge)

    def score(
        self, folder: Path, record: Record, test: OpenedBenchmark, worst_count: int = 0
    ) -> RunScores:
        """Score all answers of a run and store the scores. Raises RunError and EvaluationError."""
        scores, most_errors = None, list[ItemScore]()
        scorer = self.scorer(test.benchmark)
        if scorer is not None:
            scores = score_run(folder, record, test.items, scorer, self._mode)
            if worst_count and isinstance(scorer, AsrScorer):
                most_errors = worst(read_item_scores(folder), worst_count)
        speech = None
        if self._speaks:
            speech = score_speech(folder, test.items, self.listeners, record=record, scorer=scorer)
        return RunScores(scores, most_errors, speech)
