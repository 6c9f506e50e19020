"""Metrics of a training: means over steps and ranks, written by the first rank.

`metrics.jsonl` has a line per record, and TensorBoard has the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavemill.model.train.learner import Example
from wavemill.model.train.ranks import Ranks

FILE = "metrics.jsonl"
Value = Tensor | float | tuple[Tensor | float, Tensor | float]


class Means:
    """Weighted means of named values; `taken` is the first to wait for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor | float, Tensor | float]] = {}

    def add(self, values: Mapping[str, Value]) -> None:
        """Add values, or pairs of a sum and how many are in it."""
        for name, value in values.items():
            total, count = value if isinstance(value, tuple) else (value, 1.0)
            before = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (before[0] + total, before[1] + count)

    def taken(self, ranks: Ranks) -> dict[str, float]:
        """Return the means over all ranks, and start again from nothing."""
        own: dict[str, float] = {}
        for name, (total, count) in self._sums.items():
            own[f"{name}\tsum"], own[f"{name}\tcount"] = float(total), float(count)
        self._sums = {}
        everywhere = ranks.summed(own)
        names = [name.removesuffix("\tsum") for name in everywhere if name.endswith("\tsum")]
        return {
            name: everywhere[f"{name}\tsum"] / everywhere[f"{name}\tcount"]
            for name in names
            if everywhere[f"{name}\tcount"]
        }


class MetricsLog:
    """Writes records to `metrics.jsonl` and TensorBoard, on the first rank alone."""

    def __init__(self, run: Path, ranks: Ranks, step: int) -> None:
        """Continue the records of a run at `step`; later ones of an earlier try are dropped."""
        self._file: Any = None
        self._board: Any = None
        if not ranks.first:
            return
        path = run / FILE
        kept = [line for line in _lines(path) if json.loads(line).get("step", 0) <= step]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Write a record: numbers go to TensorBoard too, under "kind/name"."""
        if self._file is None:
            return
        record = {"kind": kind, "step": step, "time": round(time.time(), 3), **values}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{kind}/{name}", value, step)
        self._board.flush()

    def example(self, example: Example, step: int) -> None:
        if self._file is None:
            return
        values = {"name": example.name, "reference": example.reference, "answer": example.answer}
        self.write("example", step, values)
        text = f"reference: {example.reference}\n\nanswer: {example.answer}"
        self._board.add_text(f"example/{example.name}", _plain(text), step)
        if example.audio is not None:
            sound = example.audio.detach().cpu()[None]
            self._board.add_audio(f"example/{example.name}", sound, step, example.sample_rate)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._board.close()


def peak_flops(device: torch.device, bfloat16: bool) -> float:
    """Return the operations a second of a device: as its maker says, else as measured."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, peak in PEAKS.items():
            if part in name:
                return peak if bfloat16 else peak / 2  # float32 in TF32
    size = 768
    matrix = torch.randn(size, size, device=device)
    best = 0.0
    for _ in range(10):  # the best one: others may use the machine meanwhile
        began = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = max(best, 2.0 * size**3 / (time.perf_counter() - began))
    return best


# Dense bfloat16 operations a second, from the data sheets.
PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40": 181e12,
         "L20": 119.5e12, "B200": 2250e12}  # fmt: skip


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [
        line
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("}\n")
    ]


def _plain(text: str) -> str:
    """Return text as a Markdown code block, which TensorBoard shows unchanged."""
    return "".join(f"    {line}\n" for line in text.splitlines())
