"""The fields of a benchmark's YAML file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).parent / "published"
ITEM_FILES = ("items.parquet", "items.jsonl")
BENCHMARK_FILE = "benchmark.yaml"

Task = Literal[
    "asr",
    "multiple_choice",
    "classification",
    "reference_qa",
    "open_qa",
    "instruction_following",
    "refusal",
    "spoken_reply",
    "aggregate",
]
# What is asked for: a transcript of the recording; what the prompt (text) asks about it; or a reply
# to the recording itself (speech), as in a spoken conversation.
Asks = Literal["transcript", "text", "speech"]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines in block style."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


class BenchmarkError(ValueError):
    """There is no such benchmark, or its file is invalid; says which field, and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Strict):
    """Where the items come from. This project downloads nothing."""

    source: str
    access: str  # open download, gated, on request, not available
    licence: str
    prepared_by: str | None = None  # the reader that `wavemill benchmark prepare` uses
    subset: str | None = None  # the part that the reader reads
    items: int | None = Field(None, ge=1)
    items_basis: str = ""  # where that number comes from


class ScorerChoice(_Strict):
    """A scorer by name, with its options."""

    name: str
    options: dict[str, Any] = {}


class MetricSpec(_Strict):
    """The published metric."""

    name: str
    unit: str  # "%", or the scale of ratings
    better: Literal["lower", "higher"]
    meaning: str


class Published(_Strict):
    """Published scores as printed, in the unit of the metric."""

    table: int | None = None  # of the technical report
    scores: dict[str, float] = {}


class Benchmark(_Strict):
    """A benchmark: one row of the published tables, or one of your own."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    title: str
    split: str
    category: str
    task: Task
    asks: Asks = "text"
    language: str | None = None  # None: several, or none in particular
    # {question}, {options} ("(A) one (B) two") and {labels} ("one, two") are replaced by those of
    # the item; an empty prompt means that the model gets only the recording.
    prompt: str = ""
    options: tuple[str, ...] = ()  # of a closed set, for items without options of their own
    scorer: ScorerChoice | None = None  # None: people listen, or it is a mean of benchmarks
    metric: MetricSpec
    aggregation: str  # how the scores of items become the metric
    mean_of: dict[str, float] = {}  # for an aggregate: benchmark -> factor before the mean
    data: Data
    published: Published = Published()
    notes: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.task == "aggregate" and not self.mean_of:
            raise ValueError("an aggregate needs `mean_of`")
        if self.task != "aggregate" and self.mean_of:
            raise ValueError("`mean_of` is for aggregates")
        return self

    def dumped(self) -> str:
        """Return the YAML that `read_benchmark` reads."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.dump(values, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)


@lru_cache(maxsize=1)
def published_benchmarks() -> dict[str, Benchmark]:
    """Return the benchmarks of the package by name."""
    found = [read_benchmark(path) for path in sorted(FOLDER.glob("*.yaml"))]
    return {benchmark.name: benchmark for benchmark in found}


def benchmark_named(name: str) -> Benchmark:
    """Return a benchmark; raises BenchmarkError with similar names for an unknown one."""
    known = published_benchmarks()
    if name not in known:
        from difflib import get_close_matches

        like = get_close_matches(name, known, 3, 0.4)
        hint = f"; like it are {', '.join(like)}" if like else ""
        raise BenchmarkError(f"there is no benchmark {name!r}{hint} (all: wavemill benchmark list)")
    return known[name]


def read_benchmark(path: Path) -> Benchmark:
    """Read one YAML file; raises BenchmarkError naming file and field."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Benchmark.model_validate(values)
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BenchmarkError(f"{path}: {where}: {first['msg']}") from None


def items_file(folder: Path) -> Path:
    """Return the file of items in a prepared folder; raises BenchmarkError."""
    for name in ITEM_FILES:
        if (folder / name).is_file():
            return folder / name
    raise BenchmarkError(f"{folder} has neither {' nor '.join(ITEM_FILES)}")
