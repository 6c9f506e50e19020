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
    from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items
    from wavemill.model.evaluate.benchmarks.schema import Benchmark

ROOT_VARIABLE = "WAVEMILL_BENCHMARKS"
DEFAULT_ROOT = "benchmark-items"
CORPUS = "corpus"

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
def prepare_benchmark(
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
    from wavemill.model.evaluate.benchmarks.items import ItemsError, write_items
    from wavemill.model.evaluate.benchmarks.readers import corpus, read_source
    from wavemill.model.evaluate.benchmarks.readers.layout import SourceError, nonempty
    from wavemill.model.evaluate.benchmarks.schema import (
        BENCHMARK_FILE,
        BenchmarkError,
        benchmark_named,
    )
    from wavemill.pipeline.config import ConfigError
    from wavemill.pipeline.library.sound import Cutter

    try:
        if name == CORPUS:
            stem = source.partition("?")[0].rstrip("/").rpartition("/")[2]
            folder = out or items_root() / f"{_as_name(stem)}-{split}-{task}"
            benchmark = corpus.benchmark_of(source, split, task, _as_name(folder.resolve().name))
            items = corpus.read(source, split, task)
        else:
            benchmark = benchmark_named(name)
            folder = out or items_root() / name
            items = read_source(benchmark, Path(source), Cutter(), subset)
            if subset is not None and subset != benchmark.data.subset:
                data = benchmark.data.model_copy(update={"subset": subset, "items": None})
                changes = {"split": subset, "data": data, "name": f"{name}-{_as_name(subset)}"}
                benchmark = benchmark.model_copy(update=changes)
        count = write_items(folder / "items.parquet", nonempty(_counted(items), source))
    except (BenchmarkError, SourceError, ItemsError) as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror or error}") from None
    (folder / BENCHMARK_FILE).write_text(benchmark.dumped(), encoding="utf-8")
    expected = benchmark.data.items
    note = f" (the published set has {expected:,})" if expected and expected != count else ""
    typer.echo(f"{count:,} items{note} in {folder}", err=True)


def _as_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in text).lstrip("._-") or CORPUS


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


def opened_benchmark(named: str, root: Path | None) -> tuple[Benchmark, Items]:
    """Return what `--benchmark` names, with its items: a folder, its YAML file, or a name.

    Raises ConfigError, which says what to do, if the items are missing.
    """
    from wavemill.model.evaluate.benchmarks.items import Items, ItemsError
    from wavemill.model.evaluate.benchmarks.schema import (
        BENCHMARK_FILE,
        BenchmarkError,
        benchmark_named,
        items_file,
        read_benchmark,
    )
    from wavemill.pipeline.config import ConfigError

    path = Path(named)
    try:
        if path.is_dir():
            path = path / BENCHMARK_FILE
        if path.is_file():
            return read_benchmark(path), Items(items_file(path.parent))
        known = benchmark_named(named)
        folder = (root or items_root()) / named
        if not folder.is_dir():
            raise ConfigError(_missing(known, folder))
        return read_benchmark(folder / BENCHMARK_FILE), Items(items_file(folder))
    except (BenchmarkError, ItemsError) as error:
        raise ConfigError(f"--benchmark: {error}") from None


def _missing(benchmark: Benchmark, folder: Path) -> str:
    if benchmark.mean_of:
        return (
            f"--benchmark: {benchmark.name} is the mean of {', '.join(benchmark.mean_of)}: run "
            "those, and wavemill leaderboard adds it"
        )
    return (
        f"--benchmark: there is no {folder}; get the data ({benchmark.data.access}: "
        f"{benchmark.data.source}), then wavemill benchmark prepare {benchmark.name} --source DIR"
    )


if __name__ == "__main__":
    run_app(benchmark_app)
