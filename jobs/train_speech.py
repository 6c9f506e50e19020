"""wavemill train tokenizer and detokenizer: speech to tokens, and tokens to speech."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wavemill.jobs import places
from wavemill.jobs.extras import need_training_packages
from wavemill.jobs.training import (
    Address,
    Corpus,
    Executor,
    Gpu,
    Overrides,
    Recipe,
    Run,
    Workers,
    run_training,
)

Stage = Literal["flow", "chunks", "speaker", "vocoder"]
Begin = Annotated[
    Path | None,
    typer.Option(
        "--init",
        parser=places.path,
        metavar="FOLDER",
        help="Folder with a detokenizer to begin with, RUN/model of the stage before. Needed by "
        "chunks and speaker; without, the recipe's networks, random.",
    ),
]


def tokenizer(
    corpus: Corpus,
    out: Run,
    config: Recipe = "tiny",
    overrides: Overrides = None,
    workers: Workers = 1,
    gpu: Gpu = None,
    executor: Executor = None,
    address: Address = None,
) -> None:
    """Train a semantic tokenizer: a codebook inside an encoder, learnt under speech recognition.

    RUN/model is what `--set tokenize.whisper_vq.weights=RUN/model` of curate reads. How much of the
    codebook is used is among the metrics: codebook/perplexity, codebook/alive.

    Example: wavemill train tokenizer --corpus work --out tokenizer
    """
    from wavemill.pipeline.config import ConfigError

    need_training_packages()
    from wavemill.model.data.corpus import Corpus as Rows
    from wavemill.model.data.source import DataError
    from wavemill.model.train.speech.setup import TokenizerTraining
    from wavemill.pipeline.recipes import recipe_for
    from wavemill.pipeline.training_launch import Launch

    recipe = recipe_for("tokenizer", config, overrides)
    try:
        Rows.open(corpus, recipe.clips.corpus)
    except DataError as error:
        raise ConfigError(f"--corpus: {error}") from None
    job = TokenizerTraining(corpus, recipe, out)
    run_training(job, Launch(workers, gpu, executor, address), "s")


def detokenizer(
    corpus: Corpus,
    out: Run,
    stage: Annotated[
        Stage,
        typer.Option(
            help="flow: tokens to mel frames, whole utterances; chunks: the same in chunks of "
            "0.5 to 3 s, as they are streamed; speaker: on one voice alone; vocoder: mel frames to "
            "sound, beside or after the others."
        ),
    ] = "flow",
    config: Recipe = "tiny",
    init: Begin = None,
    speaker: Annotated[
        str | None,
        typer.Option(help="Train on this speaker alone, as named in the column `speaker`."),
    ] = None,
    overrides: Overrides = None,
    workers: Workers = 1,
    gpu: Gpu = None,
    executor: Executor = None,
    address: Address = None,
) -> None:
    """Train a stage of the detokenizer: semantic tokens to speech.

    RUN/model holds both networks, trained or not, as `wavemill generate` and `wavemill
    resynthesise` read them. Fields of a recipe are below their stage: --set flow.epochs=40.

    Examples:

    wavemill train detokenizer --stage flow --corpus work --out flow

    wavemill train detokenizer --stage chunks --init flow/model --corpus work --out chunks

    wavemill train detokenizer --stage speaker --speaker anna --init chunks/model --corpus work
    --out anna

    wavemill train detokenizer --stage vocoder --init anna/model --corpus work --out voice
    """
    from wavemill.pipeline.config import ConfigError

    need_training_packages()
    from wavemill.model.data.corpus import Corpus as Rows
    from wavemill.model.data.source import DataError
    from wavemill.model.train.speech.setup import DetokenizerTraining
    from wavemill.pipeline.recipes import recipe_for
    from wavemill.pipeline.training_launch import Launch

    if init is not None and not init.is_dir():
        raise ConfigError(f"--init: there is no folder {init}")
    if init is None and stage in ("chunks", "speaker"):
        raise ConfigError(f"--stage {stage} goes on from another: give --init RUN/model")
    told = [*(overrides or []), *([f"{stage}.clips.speaker={speaker}"] if speaker else [])]
    recipe = recipe_for("detokenizer", config, told)
    course = recipe.of_stage(stage)
    if stage == "speaker" and course.clips.speaker is None:
        raise ConfigError("--stage speaker: whose voice is wanted? give --speaker NAME")
    try:
        Rows.open(corpus, course.clips.corpus)
    except DataError as error:
        raise ConfigError(f"--corpus: {error}") from None
    job = DetokenizerTraining(corpus, course, out, stage, recipe.preset, init=init)
    run_training(job, Launch(workers, gpu, executor, address), "s")
