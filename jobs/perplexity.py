"""wavemill perplexity MODEL: the perplexity of a corpus under a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from wavemill.jobs import places
from wavemill.jobs.entry import run_command
from wavemill.jobs.extras import need_training_packages
from wavemill.jobs.plain import Terminal, plain


def perplexity(
    model: Annotated[
        Path, typer.Argument(parser=places.path, metavar="MODEL", help="Folder of a model.")
    ],
    corpus: Annotated[
        str,
        typer.Option(parser=places.place, metavar="WORKDIR", help="WORKDIR that curate has built."),
    ],
    kind: Annotated[Literal["pretrain", "sft"], typer.Option(help="Which of its corpora.")] = "sft",
    split: Annotated[str, typer.Option(help="Rows of this split; none: those without one.")] = (
        "test"
    ),
    text: Annotated[
        list[str] | None,
        typer.Option(
            parser=places.place,
            metavar="PLACE",
            help="Texts for the text-only task: JSONL or Parquet.",
        ),
    ] = None,
    documents: Annotated[
        int | None, typer.Option(help="Number of documents, at most.", min=1)
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Print the perplexity of text ids and of audio codes, by task.

    Example: wavemill perplexity run/model --corpus work --split test
    """
    from wavemill.pipeline.config import ConfigError

    need_training_packages()
    from wavemill.model.data.source import DataError
    from wavemill.model.evaluate.perplexity import corpus_perplexity

    try:
        found = corpus_perplexity(
            model, corpus, kind, None if split == "none" else split, tuple(text or ()), documents,
            device,
        )  # fmt: skip
    except DataError as error:
        raise ConfigError(str(error)) from None
    if as_json:
        typer.echo(json.dumps([asdict(one) | {"perplexity": one.value} for one in found]))
        return
    view = Table("task", "stream", "tokens", "nats", "perplexity")
    for one in found:
        view.add_row(
            plain(one.task or "all"), one.stream, f"{one.tokens:,}", f"{one.nats:.4f}",
            f"{one.value:.2f}",
        )  # fmt: skip
    Terminal().print(view)


if __name__ == "__main__":
    run_command(perplexity)
