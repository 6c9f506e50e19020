"""wavemill benchmark: list benchmarks, and turn your downloads into their items."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from wavemill.jobs import places
from wavemill.jobs.entry import run_app
from wavemill.jobs.lazy import Command
from wavemill.jobs.options import AsJson
from wavemill.jobs.plain import Terminal, plain

if TYPE_CHECKING:
    from wavemill.model.evaluate.benchmarks.items import BenchmarkItem

ROOT_VARIABLE = "WAVEMILL_BENCHMARKS"
DEFAULT_ROOT = "benchmark-items"

benchmark_app = typer.Typer(
    help="List benchmarks, show what each asks, and turn your downloads into items.\n\n"
    "Nothing is ever downloaded: get the data from where `show` says, then `prepare` it.",
    no_args_is_help=True,
)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A name that `wavemill benchmark list` prints.")
]


def items_root() -> Path:
    """Return the default folder of prepared benchmarks."""
    return places.path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


@benchmark_app.command("list", cls=Command)
def list_benchmarks(as_json: AsJson = False) -> None:
    """List every benchmark: the 41 rows of the technical report's tables 4 to 7, and ESC-50.

    reader: `prepare` reads its download; without one, write its items as JSONL (see `show`).
    prepared: its items are in $WAVEMILL_BENCHMARKS (or ./benchmark-items).
    """
    from wavemill.model.evaluate.benchmarks.schema import BENCHMARK_FILE, published_benchmarks

    found = published_benchmarks().values()
    if as_json:
        typer.echo(json.dumps([b.model_dump(mode="json") for b in found], ensure_ascii=False))
        return
    table = Table()
    table.add_column("name", no_wrap=True)
    for column in ("task", "items", "reader", "prepared", "best published"):
        table.add_column(column, justify="right" if column == "items" else "left")
    for benchmark in found:
        scores = benchmark.published.scores
        lower = benchmark.metric.better == "lower"
        best = (min if lower else max)(scores.items(), key=lambda kv: kv[1]) if scores else None
        table.add_row(
            plain(benchmark.name),
            benchmark.task,
            f"{benchmark.data.items:,}" if benchmark.data.items else "",
            benchmark.data.prepared_by or "",
            "yes" if (items_root() / benchmark.name / BENCHMARK_FILE).is_file() else "",
            plain(f"{best[1]:g} {benchmark.metric.unit} {best[0]}") if best else "",
        )
    Terminal().print(table)


@benchmark_app.command("show", cls=Command)
def show_benchmark(name: Name) -> None:
    """Print the YAML that describes one benchmark.

    To make a benchmark of your own, put such a file, benchmark.yaml, beside items.parquet or
    items.jsonl with a line per item:

    {"item_id": "a1", "audio": "a1.wav", "references": ["the transcript"], "language": "en"}

    Further keys: question, options, details. To run it: wavemill evaluate MODEL -b FOLDER -o runs
    """
    from wavemill.model.evaluate.benchmarks.schema import BenchmarkError, benchmark_named
    from wavemill.pipeline.config import ConfigError

    try:
        typer.echo(benchmark_named(name).dumped(), nl=False)
    except BenchmarkError as error:
        raise ConfigError(str(error)) from None


@benchmark_app.command("prepare", cls=Command)
def prepare(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a benchmark; or `corpus`, for a split of a corpus that curate built.",
        ),
    ],
    source: Annotated[
        str,
        typer.Option(
            parser=places.place,
            metavar="FOLDER",
            help="Folder of your unpacked download; for `corpus`, its WORKDIR, by path or URL.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            parser=places.folder,
            metavar="FOLDER",
            help=f"Folder to make. [default: ${ROOT_VARIABLE} or ./{DEFAULT_ROOT}, and NAME below]",
        ),
    ] = None,
    subset: Annotated[
        str | None, typer.Option(help="Another part of the data set, such as dev-clean.")
    ] = None,
    split: Annotated[str, typer.Option(help="For `corpus`: the split, or `all`.")] = "test",
    task: Annotated[
        str, typer.Option(help="For `corpus`: asr, aqa, aac, ser, sec, asc ...")
    ] = "asr",
) -> None:
    """Turn a download into benchmark.yaml and items.parquet, which also holds the audio.

    Examples:

    wavemill benchmark prepare librispeech-test-clean --source ~/data/LibriSpeech

    wavemill benchmark prepare corpus --source work --split test --out digits-test
    """
    from wavemill.pipeline.benchmark_items import CORPUS, prepare_benchmark, prepare_corpus

    if name == CORPUS:
        made = prepare_corpus(source, out, items_root(), split, task, _counted)
    else:
        made = prepare_benchmark(name, source, out, items_root(), subset, _counted)
    expected = made.benchmark.data.items
    different = expected and expected != made.count
    note = f" (the published set has {expected:,})" if different else ""
    typer.echo(f"{made.count:,} items{note} in {made.folder}", err=True)


def _counted(items: Iterator[BenchmarkItem]) -> Iterator[BenchmarkItem]:
    """Yield the items, and show on a terminal how many were read."""
    console = Terminal(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    with console.status("reading") as status:
        for count, item in enumerate(items, 1):
            if count % 100 == 0:
                status.update(f"reading: {count:,} items")
            yield item


if __name__ == "__main__":
    run_app(benchmark_app)
