"""wavemill evaluate MODEL --benchmark NAME --out DIR: answers, item by item, then scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wavemill.jobs import options, places
from wavemill.jobs.benchmark import items_root
from wavemill.jobs.entry import run_command
from wavemill.jobs.extras import need_model_packages
from wavemill.jobs.plain import Terminal, plain

if TYPE_CHECKING:
    from wavemill.model.evaluate.runs.record import Record

Kind = Literal["assistant", "transformers", "endpoint"]  # of `ModelSpec`, without its imports
JUDGED = "judge"  # folder of a judge's replies, below --out
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
    detokenizer: Annotated[
        str | None,
        typer.Option(
            parser=places.model,
            metavar="MODEL",
            help="With --speaks: detokenizer, if not in MODEL: a folder or hub id.",
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

    --speaks has a transcriber listen to the spoken answers: heard_accuracy and the like score what
    it understands as answers, speech_wer compares it with the text. DNSMOS, similarity to --voice,
    time to the first sound and real-time factor follow; --profile and --set choose the engines.

    Open questions need an LLM judge behind an OpenAI-compatible API: set WAVEMILL_JUDGE_URL,
    WAVEMILL_JUDGE_MODEL and WAVEMILL_JUDGE_KEY. Its replies are kept in DIR/judge.

    Then: wavemill leaderboard runs
    """
    from wavemill.jobs.evaluation_progress import show_answers, show_judging
    from wavemill.jobs.evaluation_scores import print_run
    from wavemill.model.evaluate.benchmarks.items import ItemsError
    from wavemill.model.evaluate.models.answering import ModelError
    from wavemill.model.evaluate.models.spec import ModelSpec, kind_of
    from wavemill.model.evaluate.recipes.recipe import RecipeError, load_recipe
    from wavemill.model.evaluate.runs.record import RunError
    from wavemill.model.evaluate.runs.score import judge_from_environment
    from wavemill.model.evaluate.scoring import EvaluationError
    from wavemill.pipeline.benchmark_items import open_benchmark
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.evaluation import (
        AskedModel,
        RunScoring,
        file_name,
        label_of,
        stored_record,
    )
    from wavemill.pipeline.listeners import listeners

    need_model_packages()
    try:
        chosen = load_recipe(recipe)
        if max_new_tokens is not None:
            decoding = chosen.decoding.model_copy(update={"max_new_tokens": max_new_tokens})
            chosen = chosen.model_copy(update={"decoding": decoding})
        tests = [open_benchmark(name, items_root()) for name in benchmark]
        scoring = RunScoring(judge_from_environment(out / JUDGED, show_judging()), mode, speaks)
        if not skip_scoring:
            for test in tests:
                scoring.scorer(test.benchmark)  # raises before any work what scoring would
        spec = ModelSpec(
            kind=kind or kind_of(source),
            source=source,
            device=device,
            dtype=dtype,
            semantic=semantic,
            detokenizer=detokenizer,
            speaks=speaks,
            voice=None if voice is None else str(voice),
            seed=seed,
            class_name=class_name,
            served=served,
            concurrency=concurrency,
        )
        asked = None if rescore else AskedModel(spec, chosen, workers, address, batch)
        name = label or label_of(spec)
        if speaks and not skip_scoring:
            scoring.listeners = listeners(profile, overrides or [], device, voice, speaker_model)
        for test in tests:
            folder = out / test.benchmark.name / file_name(name)
            if asked is None:
                record = stored_record(folder)
            else:
                record = asked.begin(folder, name, test, limit)
                _warn_of_learnt(record)
                show_answers(test.benchmark.name, asked.answers(folder, record, test, retry_failed))
            if skip_scoring:
                Terminal(stderr=True).print(plain(f"answers in {folder}"), soft_wrap=True)
            else:
                print_run(folder, record, scoring.score(folder, record, test, worst))
    except (ModelError, RecipeError, RunError, ItemsError, EvaluationError) as error:
        raise ConfigError(str(error)) from None


def _warn_of_learnt(record: Record) -> None:
    if record.learnt:
        typer.echo(
            f"warning: {record.label} learnt from the recordings of {record.learnt:,} of the "
            f"{record.items:,} items of {record.benchmark.name}: its score says little of others",
            err=True,
        )


if __name__ == "__main__":
    run_command(evaluate)
