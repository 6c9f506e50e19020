"""wavemill evaluate MODEL --benchmark NAME --out DIR: answers, item by item, then scores."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wavemill.jobs import options, places
from wavemill.jobs.benchmark import opened_benchmark
from wavemill.jobs.entry import run_command
from wavemill.jobs.extras import need_model_packages

if TYPE_CHECKING:
    from wavemill.jobs.evaluation_scores import Test
    from wavemill.model.evaluate.benchmarks.items import Items
    from wavemill.model.evaluate.benchmarks.schema import Benchmark
    from wavemill.model.evaluate.models.answering import Model
    from wavemill.model.evaluate.models.spec import ModelSpec
    from wavemill.model.evaluate.recipes.recipe import Recipe
    from wavemill.model.evaluate.runs.execute import Answerer
    from wavemill.model.evaluate.runs.record import Record
    from wavemill.pipeline.evaluation_workers import Asking

Kind = Literal["assistant", "transformers", "endpoint"]  # of `ModelSpec`, without its imports
RECIPES = Path(__file__).parents[1] / "model" / "evaluate" / "recipes"


def _recipes() -> str:
    return ", ".join(sorted(path.stem for path in RECIPES.glob("*.yaml")))


def evaluate(
    source: Annotated[
        str,
        typer.Argument(
            parser=places.model,
            metavar="MODEL",
            help="Folder or hub id of this project's model or of a transformers audio model; or "
            "the URL of an OpenAI-compatible server, such as http://localhost:8000/v1.",
        ),
    ],
    benchmark: Annotated[
        list[str],
        typer.Option(
            "--benchmark",
            "-b",
            parser=places.named,
            metavar="NAME",
            help="A prepared benchmark, by name, folder or YAML file; repeatable.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            parser=places.folder,
            metavar="DIR",
            help="Folder of runs: DIR/BENCHMARK/LABEL.",
        ),
    ],
    label: Annotated[
        str | None, typer.Option(help="Name of the model in tables. [default: from MODEL]")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            parser=places.named,
            metavar="NAME",
            help=f"Prompts and decoding: {_recipes()}; or a YAML file.",
        ),
    ] = "plain",
    kind: Annotated[
        Kind | None, typer.Option(help="What MODEL is. [default: found out from MODEL]")
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Class of a transformers model, if not the one that its configuration names.",
        ),
    ] = None,
    served: Annotated[
        str,
        typer.Option(
            help="Endpoint: name of the model on the server. The key comes from "
            "WAVEMILL_ENDPOINT_KEY or OPENAI_API_KEY."
        ),
    ] = "",
    concurrency: Annotated[
        int, typer.Option(help="Endpoint: number of requests at a time.", min=1)
    ] = 8,
    semantic: options.Semantic = None,
    device: options.Device = "cpu",
    dtype: Annotated[options.Precision, typer.Option(help="Data type of the weights.")] = "stored",
    max_new_tokens: Annotated[
        int | None,
        typer.Option(help="Limit of an answer, in tokens. [default: the recipe's]", min=1),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Number of items at a time. [default: depends on the model]", min=1),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Ask only the first N items.", min=1)] = None,
    seed: options.Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Run on Ray, with this number of copies of the model.", min=1),
    ] = None,
    address: options.Address = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again about items that failed.")
    ] = False,
    skip_scoring: Annotated[
        bool, typer.Option("--skip-scoring", help="Only collect answers.")
    ] = False,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Only score the answers that are there.")
    ] = False,
    worst: Annotated[
        int,
        typer.Option(
            help="Show the N transcripts with most errors, aligned with the references.", min=0
        ),
    ] = 0,
    speaks: Annotated[
        bool,
        typer.Option(
            "--speaks", help="Also have the model speak its answers, and rate that speech."
        ),
    ] = False,
    voice: Annotated[
        Path | None,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="With --speaks: recording of the voice to imitate, up to 15 s.",
        ),
    ] = None,
    speaker_model: Annotated[
        Path | None,
        typer.Option(
            parser=places.path,
            metavar="FILE",
            help="With --voice: pyannote.audio embedding checkpoint, to compare voices.",
        ),
    ] = None,
    profile: options.Profile = "embedded",
    overrides: options.Overrides = None,
    mode: Annotated[
        Literal["default", "compat"],
        typer.Option(help="compat: score exactly as the published toolkit does, with its defects."),
    ] = "default",
) -> None:
    """Ask a model about every item of a benchmark, and score what it answers.

    Answers are stored one by one: after a crash or Ctrl-C, the same command continues. An item
    that fails becomes a row with the reason, and is counted beside the score. run.json records
    what the run depends on: recipe, hashes of weights and items, seed, versions.

    Examples:

    wavemill evaluate model/ --benchmark digits-test --out runs

    wavemill evaluate Qwen/Qwen2-Audio-7B-Instruct --kind transformers --recipe
    qwen2-audio-instruct --device cuda --dtype bfloat16 -b librispeech-test-clean -b meld -o runs

    wavemill evaluate http://localhost:8000/v1 --served my-model -b voicebench-mmsu -o runs

    --speaks adds the word error rate of what a transcriber understands, DNSMOS, similarity to
    --voice, time to the first sound and real-time factor; --profile and --set choose the engines.

    Open questions need an LLM judge behind an OpenAI-compatible API: set WAVEMILL_JUDGE_URL,
    WAVEMILL_JUDGE_MODEL and WAVEMILL_JUDGE_KEY. Its replies are kept in DIR/judge.

    Then: wavemill leaderboard runs
    """
    from wavemill.jobs.evaluation_progress import show_answers
    from wavemill.jobs.evaluation_scores import Scoring, Test
    from wavemill.model.evaluate.benchmarks.items import ItemsError
    from wavemill.model.evaluate.models.answering import ModelError
    from wavemill.model.evaluate.models.spec import ModelSpec, kind_of
    from wavemill.model.evaluate.recipes.recipe import RecipeError, load_recipe
    from wavemill.model.evaluate.runs.execute import answer_all
    from wavemill.model.evaluate.runs.record import RunError, begin
    from wavemill.model.evaluate.scoring import EvaluationError
    from wavemill.pipeline.config import ConfigError

    need_model_packages()
    try:
        chosen = load_recipe(recipe)
        if max_new_tokens is not None:
            decoding = chosen.decoding.model_copy(update={"max_new_tokens": max_new_tokens})
            chosen = chosen.model_copy(update={"decoding": decoding})
        tests = [Test(*opened_benchmark(name, None)) for name in benchmark]
        scoring = Scoring(out, mode, skip_scoring, speaks, worst)
        for test in tests:
            scoring.check(test)
        spec = ModelSpec(
            kind=kind or kind_of(source),
            source=source,
            device=device,
            dtype=dtype,
            semantic=semantic,
            speaks=speaks,
            voice=None if voice is None else str(voice),
            seed=seed,
            class_name=class_name,
            served=served,
            concurrency=concurrency,
        )
        asking = None if rescore else _Asking(spec, chosen, workers, address, batch)
        name = label or _label(spec)
        if speaks and not skip_scoring:
            scoring.load(profile, overrides or [], device, voice, speaker_model)
        for test in tests:
            folder = out / test.benchmark.name / _file_name(name)
            if asking is None:
                record = _stored_record(folder)
            else:
                record = begin(folder, _record(name, test, limit, asking, seed))
                _warn_of_learnt(record)
                answerer = asking.answerer(test.benchmark)
                going = answer_all(
                    folder, test.items, answerer, asking.batch, record.limit, retry_failed
                )
                show_answers(test.benchmark.name, going)
            scoring.score(folder, record, test)
    except (ModelError, RecipeError, RunError, ItemsError, EvaluationError) as error:
        raise ConfigError(str(error)) from None


class _Asking:
    """The model, in this process or in workers, and the recipe by which it is asked."""

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        workers: int | None,
        address: str | None,
        batch: int | None,
    ) -> None:
        """Raise ModelError or RecipeError; if workers load the model, they raise these later."""
        from wavemill.model.evaluate.models.spec import identity_of

        self.spec, self.recipe = spec, recipe
        self._workers, self._address = workers, address
        self.identity = identity_of(spec)
        self.batch = batch or spec.batch
        self._model: Model | None = None

    def answerer(self, benchmark: Benchmark) -> Answerer:
        from wavemill.model.evaluate.models.spec import load_model
        from wavemill.model.evaluate.runs.execute import ItemAnswerer, one_by_one

        if self._workers is None and self._address is None:
            self._model = self._model or load_model(self.spec, self.recipe)
            return one_by_one(ItemAnswerer(self._model, self.recipe, benchmark))
        from wavemill.pipeline.evaluation_workers import ray_answerer

        gpus = 1.0 if self.spec.device.startswith("cuda") else 0.0
        make = partial(_made, self.spec, self.recipe, benchmark)
        return ray_answerer(make, self._workers or 1, self._address, gpus)


def _made(spec: ModelSpec, recipe: Recipe, benchmark: Benchmark) -> Asking:
    """Load a model in a worker."""
    from wavemill.model.evaluate.models.spec import load_model
    from wavemill.model.evaluate.runs.execute import ItemAnswerer

    return ItemAnswerer(load_model(spec, recipe), recipe, benchmark)


def _label(spec: ModelSpec) -> str:
    from wavemill.model.io.folders import name_of

    if spec.kind == "endpoint":
        return spec.served
    path = Path(spec.source)
    return name_of(path) if path.is_dir() else spec.source


def _file_name(label: str) -> str:
    from wavemill.pipeline.config import ConfigError

    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in label).strip(".")
    if not name:
        raise ConfigError(f"--label: {label!r} makes no name of a folder")
    return name


def _record(label: str, test: Test, limit: int | None, asking: _Asking, seed: int) -> Record:
    from wavemill.model.evaluate.models.spec import versions
    from wavemill.model.evaluate.runs.record import Record, now

    items = test.items
    return Record(
        label=label,
        benchmark=test.benchmark,
        items=len(items),
        items_sha256=items.digest(),
        limit=limit if limit is not None and limit < len(items) else None,
        learnt=_learnt(asking.spec, items),
        model=asking.identity,
        recipe=asking.recipe,
        seed=seed,
        versions=versions(),
        created=now(),
    )


def _learnt(spec: ModelSpec, items: Items) -> int | None:
    """Return how many items come from recordings that the model was trained on; None: unknown."""
    from wavemill.model.io.folders import HUB_FILES, resolve
    from wavemill.model.learnt_from import read_learnt_from

    if spec.kind != "assistant":
        return None
    recordings = read_learnt_from(resolve(spec.source, files=HUB_FILES))
    if not recordings:
        return None
    return sum(one.recording_id in recordings for one in items.read(sound=False))


def _warn_of_learnt(record: Record) -> None:
    if record.learnt:
        typer.echo(
            f"warning: {record.label} learnt from the recordings of {record.learnt:,} of the "
            f"{record.items:,} items of {record.benchmark.name}: its score says little of others",
            err=True,
        )


def _stored_record(folder: Path) -> Record:
    from wavemill.model.evaluate.runs.record import read_record
    from wavemill.pipeline.config import ConfigError

    record = read_record(folder)
    if record is None:
        raise ConfigError(f"--rescore: there is no run in {folder}")
    return record


if __name__ == "__main__":
    run_command(evaluate)
