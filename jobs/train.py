"""wavemill train: train models on the corpora that curate wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wavemill.jobs import places
from wavemill.jobs.entry import run_app
from wavemill.jobs.extras import need_training_packages
from wavemill.jobs.lazy import Command
from wavemill.jobs.train_speech import detokenizer, tokenizer
from wavemill.jobs.training import (
    Address,
    Corpus,
    Executor,
    Gpu,
    Init,
    Overrides,
    Recipe,
    Run,
    Semantic,
    Workers,
    run_training,
)

if TYPE_CHECKING:
    from wavemill.pipeline.training_launch import Launch

train_app = typer.Typer(
    help="Train on the corpora of a WORKDIR. The same command continues a run that was stopped.",
    no_args_is_help=True,
)


train_app.command("tokenizer", cls=Command)(tokenizer)
train_app.command("detokenizer", cls=Command)(detokenizer)


@train_app.command("pretrain", cls=Command)
def pretrain(
    corpus: Corpus,
    out: Run,
    config: Recipe = "tiny",
    text: Annotated[
        list[str] | None,
        typer.Option(
            parser=places.place,
            metavar="PLACE",
            help="Documents for the text-only task, half of the report's mixture: JSONL or Parquet "
            "with a field `text`, files or folders. Repeatable. Without, the task is left out.",
        ),
    ] = None,
    init: Init = None,
    semantic: Semantic = None,
    overrides: Overrides = None,
    workers: Workers = 1,
    gpu: Gpu = None,
    executor: Executor = None,
    address: Address = None,
) -> None:
    """Pre-train the audio LLM on `pretrain`, by the seven tasks of the report.

    Example: wavemill train pretrain --corpus work --text books.jsonl --out run
    """
    from wavemill.pipeline.training_launch import Launch

    launch = Launch(workers, gpu, executor, address)
    source = _Source(corpus, out, init, semantic, tuple(text or ()))
    _train("pretrain", source, config, overrides, launch)


@train_app.command("sft", cls=Command)
def sft(
    corpus: Corpus,
    out: Run,
    config: Recipe = "tiny",
    init: Init = None,
    semantic: Semantic = None,
    overrides: Overrides = None,
    workers: Workers = 1,
    gpu: Gpu = None,
    executor: Executor = None,
    address: Address = None,
) -> None:
    """Fine-tune the audio LLM on the conversations of `sft` and `sft_spoken`.

    It learns what the assistant writes and, where the assistant is spoken, to speak it beside the
    text, six steps behind.

    Example: wavemill train sft --corpus work --init run/model --out tuned
    """
    from wavemill.pipeline.training_launch import Launch

    launch = Launch(workers, gpu, executor, address)
    _train("sft", _Source(corpus, out, init, semantic), config, overrides, launch)


class _Source:
    """The corpus and the models that a training starts from, and its folder."""

    def __init__(
        self,
        corpus: str,
        out: Path,
        init: Path | None,
        semantic: Path | None,
        texts: tuple[str, ...] = (),
    ) -> None:
        self.corpus, self.out, self.init = corpus, out, init
        self.semantic, self.texts = semantic, texts


def _train(
    kind: Literal["pretrain", "sft"],
    source: _Source,
    config: str,
    overrides: list[str] | None,
    launch: Launch,
) -> None:
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.training_tokenizer import tokenizer_folder

    need_training_packages()
    from wavemill.model.data.corpus import Corpus as Rows
    from wavemill.model.data.source import DataError
    from wavemill.model.data.texts import Texts
    from wavemill.model.train.llm import LlmTraining
    from wavemill.pipeline.recipes import llm_recipe

    recipe = llm_recipe(kind, config, overrides)
    if source.init is not None and not source.init.is_dir():
        raise ConfigError(f"--init: there is no folder {source.init}")
    try:
        told = Rows.open(source.corpus, kind).metadata.get("semantic_tokenizer", "")
    except DataError as error:
        raise ConfigError(f"--corpus: {error}") from None
    try:
        if source.texts:
            Texts.open(source.texts)
    except DataError as error:  # which says --text itself
        raise ConfigError(str(error)) from None
    folder = tokenizer_folder(source.out, told, source.init, source.semantic)
    job = LlmTraining(
        source.corpus, recipe, source.out, source.texts, init=source.init, semantic=folder
    )
    run_training(job, launch)


if __name__ == "__main__":
    run_app(train_app)
