"""Rows of the table, the shapes that are measured, and the file that keeps what was measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from wavemill.model.detokenizer.config import StreamSettings

Shapes = Literal["tiny", "small", "paper"]
QUICK_STREAM = StreamSettings(chunk_tokens=3, look_ahead_tokens=1, ode_points=2)
PRESET = {"tiny": "tiny", "small": "small", "paper": "published"}


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    value: float
    unit: str
    aim: str = ""  # what is hoped for, as a person reads it
    item: int | None = None  # of the list of GPU risks in gpu.md

    def cells(self) -> str:
        named = f"{self.what} (item {self.item})" if self.item else self.what
        return f"| {named} | {self.value:,.4g} {self.unit} | {self.aim} |"


@dataclass(frozen=True)
class Setting:
    """What is measured, and where."""

    shapes: Shapes
    device: torch.device

    @property
    def preset(self) -> str:
        return PRESET[self.shapes]

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.cuda else torch.float32

    @property
    def quick(self) -> bool:
        """Whether it is only to be seen that a part runs."""
        return not self.cuda

    @property
    def stream(self) -> StreamSettings:
        """Return how the detokenizer works through its chunks."""
        return QUICK_STREAM if self.quick else StreamSettings()

    def of(self, long: int, quick: int) -> int:
        """Return how many steps, tokens or seconds are measured."""
        return quick if self.quick else long

    def now(self) -> float:
        """Return seconds: of wall time, once the device has finished its work."""
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, run: Callable[[], object], repeats: int = 3) -> float:
        """Return the shortest time of `run`, after one that does not count."""
        run()
        best = float("inf")
        for _ in range(repeats):
            before = self.now()
            run()
            best = min(best, self.now() - before)
        return best

    @contextmanager
    def peak(self) -> Iterator[Peak]:
        """Give the most memory of the device that was held meanwhile; 0 on a CPU."""
        found = Peak()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        yield found
        if self.cuda:
            found.bytes = torch.cuda.max_memory_allocated()


@dataclass
class Peak:
    bytes: int = 0

    @property
    def gigabytes(self) -> float:
        return self.bytes / 1e9


Part = Callable[[Setting], Iterator[Row]]


@dataclass
class Kept:
    """The rows of all parts, in a JSON file that is written after each row."""

    file: Path
    content: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file.is_file():
            self.content = json.loads(self.file.read_text(encoding="utf-8"))

    def done(self, part: str) -> bool:
        """Whether a part has been measured to its end, on this machine and with these shapes."""
        return bool(self.content.get(part, {}).get("done"))

    def begin(self, part: str) -> None:
        self.content[part] = {"rows": [], "done": False, "error": ""}
        self._write()

    def add(self, part: str, row: Row) -> None:
        self.content[part]["rows"].append(asdict(row))
        self._write()

    def end(self, part: str, seconds: float, error: str = "") -> None:
        self.content.setdefault(part, {"rows": []})
        self.content[part] |= {"seconds": seconds, "error": error, "done": not error}
        self._write()

    def rows(self, part: str) -> list[Row]:
        return [Row(**row) for row in self.content.get(part, {}).get("rows", [])]

    def error(self, part: str) -> str:
        return str(self.content.get(part, {}).get("error", ""))

    def _write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_name(self.file.name + ".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.file)
