"""The items of benchmarks: made from downloads and corpora, and opened by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem, Items, ItemsError, write_items
from wavemill.model.evaluate.benchmarks.readers import corpus, read_source
from wavemill.model.evaluate.benchmarks.readers.layout import SourceError, nonempty
from wavemill.model.evaluate.benchmarks.schema import (
    BENCHMARK_FILE,
    Benchmark,
    BenchmarkError,
    benchmark_named,
    items_file,
    read_benchmark,
)
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.library.sound import Cutter

CORPUS = "corpus"  # stands for a benchmark of a corpus's own rows
Watched = Callable[[Iterator[BenchmarkItem]], Iterator[BenchmarkItem]]


@dataclass(frozen=True)
class OpenedBenchmark:
    """A benchmark and its items."""

    benchmark: Benchmark
    items: Items


@dataclass(frozen=True)
class PreparedBenchmark:
    """What `prepare_benchmark` wrote: benchmark.yaml and `count` items, in a folder."""

    benchmark: Benchmark
    folder: Path
    count: int


def open_benchmark(named: str, root: Path) -> OpenedBenchmark:
    """Return the benchmark that `--benchmark` names: a folder, its YAML file, or a name.

    `root` is the folder of prepared benchmarks, where names are looked up. Raises ConfigError,
    which says what to do, if the items are missing.
    """
    path = Path(named)
    try:
        if path.is_dir():
            path = path / BENCHMARK_FILE
        if path.is_file():
            return OpenedBenchmark(read_benchmark(path), Items(items_file(path.parent)))
        known = benchmark_named(named)
        folder = root / named
        if not folder.is_dir():
            raise ConfigError(_missing(known, folder))
        return OpenedBenchmark(read_benchmark(folder / BENCHMARK_FILE), Items(items_file(folder)))
    except (BenchmarkError, ItemsError) as error:
        raise ConfigError(f"--benchmark: {error}") from None


def prepare_benchmark(
    name: str,
    source: str,
    out: Path | None,
    root: Path,
    subset: str | None = None,
    watched: Watched = iter,
) -> PreparedBenchmark:
    """Turn the unpacked download of a benchmark, in the folder `source`, into its items.

    They are written to the folder `out`, or to `root`/`name`. `subset` is another part of the data
    set than the benchmark's own. The items pass through `watched`. Raises ConfigError.
    """
    try:
        benchmark = benchmark_named(name)
        items = read_source(benchmark, Path(source), Cutter(), subset)
    except (BenchmarkError, SourceError) as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise _unreadable(source, error) from None
    if subset is not None and subset != benchmark.data.subset:
        data = benchmark.data.model_copy(update={"subset": subset, "items": None})
        changes = {"split": subset, "data": data, "name": f"{name}-{_as_name(subset)}"}
        benchmark = benchmark.model_copy(update=changes)
    return _written(benchmark, out or root / name, watched(items), source)


def prepare_corpus(
    source: str,
    out: Path | None,
    root: Path,
    split: str = "test",
    task: str = "asr",
    watched: Watched = iter,
) -> PreparedBenchmark:
    """Turn a split of the corpus in the WORKDIR `source` into a benchmark of one task.

    `out`, `root` and `watched` as in `prepare_benchmark`. Raises ConfigError.
    """
    stem = source.partition("?")[0].rstrip("/").rpartition("/")[2]
    folder = out or root / f"{_as_name(stem)}-{split}-{task}"
    try:
        benchmark = corpus.benchmark_of(source, split, task, _as_name(folder.resolve().name))
        items = corpus.read(source, split, task)
    except (BenchmarkError, SourceError) as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise _unreadable(source, error) from None
    return _written(benchmark, folder, watched(items), source)


def _written(
    benchmark: Benchmark, folder: Path, items: Iterator[BenchmarkItem], source: str
) -> PreparedBenchmark:
    try:
        count = write_items(folder / "items.parquet", nonempty(items, source))
    except (SourceError, ItemsError) as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror or error}") from None
    (folder / BENCHMARK_FILE).write_text(benchmark.dumped(), encoding="utf-8")
    return PreparedBenchmark(benchmark, folder, count)


def _unreadable(source: str, error: OSError) -> ConfigError:
    return ConfigError(f"cannot read {source}: {error.strerror or error}")


def _as_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in text).lstrip("._-") or CORPUS


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
