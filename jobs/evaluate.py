"""wavemill evaluate MODEL --benchmark NAME --out DIR: answers, item by item, then scores."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jobs import options
from jobs.benchmark import opened_benchmark
from jobs.entry import run_command
from jobs.extras import need_model_packages
from jobs.plain import plain
from model.evaluate.benchmarks.items import Items, ItemsError
from model.evaluate.benchmarks.schema import Benchmark
from model.evaluate.errors import EvaluationError
from model.evaluate.models.answering import ModelError
from model.evaluate.models.spec import Kind, ModelSpec, Precision, kind_of, load_model
from model.evaluate.models.weights_hash import versions
from model.evaluate.recipes.recipe import Recipe, RecipeError, load_recipe, recipe_names
from model.evaluate.runs.execute import Answerer, Standing, answer_all, one_by_one
from model.evaluate.runs.record import Record, RunError, begin, now, read_record
from model.evaluate.runs.score import StoredScores, score_run
from model.evaluate.runs.scorers import judge_from_environment, scorer_for
from model.evaluate.runs.worker import Worker
from model.evaluate.scoring import Scorer
from pipeline.config import ConfigError

if TYPE_CHECKING:
    from jobs.evaluation_workers import Asking

JUDGED = "judge"  # folder of a judge's replies, below --out
LINE_EVERY_SECONDS = 10.0  # of plain output, where there is no terminal
OTHERS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("items"),
    TimeElapsedColumn(),
    TextColumn("{task.fields[failed]}"),
)


def evaluate(
    source: Annotated[
        str,
        typer.Argument(
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
            help="A prepared benchmark, by name, folder or YAML file; repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of runs: DIR/BENCHMARK/LABEL.")],
    label: Annotated[
        str | None, typer.Option(help="Name of the model in tables. [default: from MODEL]")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(help=f"Prompts and decoding: {', '.join(recipe_names())}; or a YAML file."),
    ] = "plain",
    kind: Annotated[
        Kind | None, typer.Option(help="What MODEL is. [default: seen from it]")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class of a transformers model, if not its own.")
    ] = None,
    served: Annotated[
        str,
        typer.Option(
            help="Endpoint: name of the model there. The key comes from "
            "WAVEMILL_ENDPOINT_KEY or OPENAI_API_KEY."
        ),
    ] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    dtype: Annotated[Precision, typer.Option(help="Of the weights.")] = "stored",
    max_new_tokens: Annotated[
        int | None, typer.Option(help="In place of the recipe's.", min=1)
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Items at a time. [default: as the model likes]", min=1)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many items.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Run on Ray, with so many copies of the model.", min=1),
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
    mode: Annotated[
        Literal["default", "compat"],
        typer.Option(help="compat: score exactly as the published toolkit, with its defects."),
    ] = "default",
) -> None:
    """Ask a model about every item of a benchmark, and score what it answers.

    Answers are kept as they come: after a crash or Ctrl-C, the same command goes on where it
    stood. An item that fails is a row with the reason, and is counted beside the score. run.json
    holds all that a run depends on: recipe, hashes of weights and items, seed, versions.

    Examples:

    wavemill evaluate model/ --benchmark digits-test --out runs

    wavemill evaluate Qwen/Qwen2-Audio-7B-Instruct --kind transformers --recipe
    qwen2-audio-instruct --device cuda --dtype bfloat16 -b librispeech-test-clean -b meld -o runs

    wavemill evaluate http://localhost:8000/v1 --served my-model -b voicebench-mmsu -o runs

    Open questions need an LLM judge behind an OpenAI-compatible API: set WAVEMILL_JUDGE_URL,
    WAVEMILL_JUDGE_MODEL and WAVEMILL_JUDGE_KEY. Its replies are kept in DIR/judge.

    Then: wavemill leaderboard runs
    """
    console = Console(stderr=True)
    need_model_packages()
    try:
        chosen = load_recipe(recipe)
        if max_new_tokens is not None:
            decoding = chosen.decoding.model_copy(update={"max_new_tokens": max_new_tokens})
            chosen = chosen.model_copy(update={"decoding": decoding})
        found = [opened_benchmark(name, None) for name in benchmark]
        scorers: list[Scorer | None] = [
            None if skip_scoring else scorer_for(one, mode, judge_from_environment(out / JUDGED))
            for one, _ in found
        ]
        spec = ModelSpec(
            kind or kind_of(source), source, device, dtype, False, seed, class_name, served
        )
        name = label or _label(spec)
        asking = None if rescore else _Asking(spec, chosen, workers, address, batch)
        for (one, items), by in zip(found, scorers, strict=True):
            folder = out / one.name / _file_name(name)
            if asking is not None:
                record = _record(name, one, items, limit, asking, seed)
                record = begin(folder, record)
                _answer(console, folder, record, items, asking, retry_failed)
            else:
                record = _stored_record(folder)
            if by is not None:
                _print_scores(record, score_run(folder, record, items, by, mode), folder)
    except (ModelError, RecipeError, RunError, ItemsError, EvaluationError) as error:
        raise ConfigError(str(error)) from None


class _Asking:
    """A model, here or in workers, and how it is asked."""

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        workers: int | None,
        address: str | None,
        batch: int | None,
    ) -> None:
        self.spec, self.recipe = spec, recipe
        self._workers, self._address = workers, address
        # Also where workers have their own: its identity must be known before they start.
        self._model = load_model(spec, recipe)
        self.identity = dict(self._model.identity())
        self.batch = batch or self._model.batch

    def answerer(self, benchmark: Benchmark) -> Answerer:
        if self._workers is None and self._address is None:
            return one_by_one(Worker(self._model, self.recipe, benchmark))
        from jobs.evaluation_workers import ray_answerer

        gpus = 1.0 if self.spec.device.startswith("cuda") else 0.0
        make = partial(_made, self.spec, self.recipe, benchmark)
        return ray_answerer(make, self._workers or 1, self._address, gpus)


def _made(spec: ModelSpec, recipe: Recipe, benchmark: Benchmark) -> Asking:
    """Load a model in a worker."""
    if spec.device == "cpu":
        import torch

        torch.set_num_threads(1)
    return Worker(load_model(spec, recipe), recipe, benchmark)


def _label(spec: ModelSpec) -> str:
    if spec.kind == "endpoint":
        return spec.served
    path = Path(spec.source)
    return path.resolve().name if path.is_dir() else spec.source


def _file_name(label: str) -> str:
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in label).strip(".")
    if not name:
        raise ConfigError(f"--label: {label!r} makes no name of a folder")
    return name


def _record(
    label: str, benchmark: Benchmark, items: Items, limit: int | None, asking: _Asking, seed: int
) -> Record:
    return Record(
        label=label,
        benchmark=benchmark,
        items=len(items),
        items_sha256=items.digest(),
        limit=limit if limit is not None and limit < len(items) else None,
        model=asking.identity,
        recipe=asking.recipe,
        seed=seed,
        versions=versions(),
        created=now(),
    )


def _stored_record(folder: Path) -> Record:
    record = read_record(folder)
    if record is None:
        raise ConfigError(f"--rescore: there is no run in {folder}")
    return record


def _answer(
    console: Console, folder: Path, record: Record, items: Items, asking: _Asking, again: bool
) -> None:
    """Get the answers that are missing, and show how far it is."""
    answerer = asking.answerer(record.benchmark)
    going = answer_all(folder, items, answerer, asking.batch, record.limit, again)
    if console.is_terminal:
        _with_bar(console, record, going)
    else:
        _with_lines(console, record, going)


def _with_bar(console: Console, record: Record, going: Iterable[Standing]) -> None:
    with Progress(*OTHERS, console=console) as progress:
        bar = progress.add_task(str(plain(record.benchmark.name)), total=None, failed="")
        for now_at in going:
            failed = f"{now_at.failed:,} failed" if now_at.failed else ""
            progress.update(bar, total=now_at.total, completed=now_at.done, failed=failed)


def _with_lines(console: Console, record: Record, going: Iterable[Standing]) -> None:
    begun = printed = time.monotonic()
    for number, at in enumerate(going):
        last = at.done == at.total
        if number == 0 or last or time.monotonic() - printed >= LINE_EVERY_SECONDS:
            printed = time.monotonic()
            failed = f", {at.failed:,} failed" if at.failed else ""
            line = f"{printed - begun:6.0f} s  {at.done:,}/{at.total:,} items{failed}"
            console.print(plain(f"{record.benchmark.name}: {line}"), soft_wrap=True)


def _print_scores(record: Record, scores: StoredScores, folder: Path) -> None:
    console = Console()
    unit = record.benchmark.metric.unit
    table = Table("metric", title=f"{record.label} on {record.benchmark.name}")
    table.title_justify = "left"
    for name in ("value", "95 % interval", "items", "unscored"):
        table.add_column(name, justify="right")
    for metric in scores.metrics:
        value = "-" if metric.value is None else f"{metric.value:.2f}"
        wide = metric.low is None or metric.high is None
        span = "" if wide else f"{metric.low:.2f} to {metric.high:.2f}"
        unscored = f"{metric.unscored:,}" if metric.unscored else ""
        table.add_row(plain(metric.name), f"{value}", span, f"{metric.count:,}", unscored)
    console.print(table)
    notes = [f"main metric in {unit}"]
    if scores.failed:
        notes.append(f"{scores.failed:,} of {scores.total:,} items failed and are not in it")
    if scores.cut:
        notes.append(f"{scores.cut:,} answers were cut at a limit")
    console.print(plain(f"{'; '.join(notes)}; {folder}"), soft_wrap=True)


if __name__ == "__main__":
    run_command(evaluate)
