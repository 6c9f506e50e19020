"""What the conformance tests share: the folder of fixtures, and the table of results.

Fixtures stand in the folder that WAVEMILL_CONFORMANCE names (default: ../shared/conformance
beside the repository). Every comparison becomes a row, and pytest prints them at the end.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("WAVEMILL_CONFORMANCE", ROOT.parent / "shared" / "conformance"))
LLM = FOLDER / "llm"

needs_fixtures = pytest.mark.skipif(
    not LLM.is_dir(), reason=f"no conformance fixtures in {FOLDER}; set WAVEMILL_CONFORMANCE"
)


@dataclass
class Table:
    """Worst error of each part, with its tolerance; exact comparisons have tolerance 0."""

    rows: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, part: str, error: float, tolerance: float = 0.0) -> None:
        """Note one compared case and assert that it is inside its tolerance."""
        self.rows.setdefault(part, []).append((error, tolerance))
        assert error <= tolerance, f"{part}: error {error:g} exceeds {tolerance:g}"

    def lines(self) -> list[str]:
        header = f"{'part':44} {'cases':>5} {'worst error':>12} {'tolerance':>10}"
        return [header] + [
            f"{part:44} {len(cases):5} {max(e for e, _ in cases):12.2g} {cases[0][1]:10.2g}"
            for part, cases in self.rows.items()
        ]


TABLE = Table()


def worst(found: Tensor, wanted: Tensor) -> float:
    """Return the largest absolute difference; shapes must be equal."""
    assert found.shape == wanted.shape, f"{tuple(found.shape)} instead of {tuple(wanted.shape)}"
    found = found.detach()
    return float((found.double() - wanted.double()).abs().max()) if found.numel() else 0.0


@lru_cache
def tensors(name: str) -> dict[str, Tensor]:
    """Return the tensors of `llm/<name>.safetensors`."""
    return load_file(LLM / f"{name}.safetensors")


@lru_cache
def notes(name: str) -> Any:
    """Return the content of `llm/<name>.json`."""
    return json.loads((LLM / f"{name}.json").read_text(encoding="utf-8"))


def parts(keys: Iterable[str], pattern: str) -> list[str]:
    """Return what the group of a pattern matches at the beginning of keys, each once, in order.

    Cases are taken from what is stored, so that one which someone adds is run.
    """
    found = (re.match(pattern, key) for key in keys)
    return list(dict.fromkeys(match[1] for match in found if match))


def stems(folder: Path, pattern: str = "*") -> list[str]:
    """Return the names of the files `<pattern>.safetensors` of a folder, without the ending."""
    return sorted(path.stem for path in folder.glob(f"{pattern}.safetensors"))


def run_notes() -> dict[str, dict[str, Any]]:
    """Return the notes on each stored generation and training step; none without the folder."""
    cases = notes("llm/run_cases") if LLM.is_dir() else {}
    return {name: case for name, case in cases.items() if isinstance(case, dict)}


def waveform(name: str, start: int = 0, stop: int | None = None) -> Tensor:
    """Return samples of a stored waveform, float32 at 16 kHz."""
    return tensors("waveforms")[name][start:stop].to(torch.float32) / 32768
