"""What a GPU makes of the models and of their training, in minutes: one table, with aims beside.

    python -m benchmarks.gpu                                  # all parts, on the GPU
    python -m benchmarks.gpu --part training --again          # one part anew
    python -m benchmarks.gpu --shapes tiny --device cpu       # does it run? seconds, no figures

Weights are random and written where they are used; nothing is fetched. Each part runs in a process
of its own with a limit of time; what it has found so far is kept in a JSON file (`--kept`), and a
part that was measured to its end is not measured again. A part that fails gives one line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import get_args

import torch

from benchmarks.gpu.rows import Kept, Part, Setting, Shapes
from wavemill.model.train.metrics import peak_flops

# Its module, and how many seconds it may take; 8 minutes in all.
PARTS = {"llm": 130, "detokenizer": 60, "training": 160, "tokenizer": 40, "curation": 90}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--part", action="append", choices=list(PARTS), help="repeatable; all")
    parser.add_argument("--shapes", choices=get_args(Shapes), default="paper")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--kept", type=Path, help="default: build/gpu-SHAPES-DEVICE.json")
    parser.add_argument("--again", action="store_true", help="measure also what was measured")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here; --device cpu shows whether the parts run")
        return
    file = options.kept or Path("build") / f"gpu-{options.shapes}-{options.device}.json"
    kept, setting = Kept(file), Setting(options.shapes, torch.device(options.device))
    parts = options.part or list(PARTS)
    if options.child:
        measured(parts[0], setting, kept)
        return
    for part in parts:
        if options.again or not kept.done(part):
            kept.begin(part)
            if setting.quick:
                measured(part, setting, kept)
            else:
                limited(part, options.shapes, file)
            kept = Kept(file)
    print(table(parts, kept, setting))


def measured(part: str, setting: Setting, kept: Kept) -> None:
    """Measure a part in this process; whatever it raises becomes its error."""
    began, error = time.monotonic(), ""
    torch.manual_seed(0)
    if setting.quick:
        torch.set_num_threads(1)
    try:
        run: Part = import_module(f"benchmarks.gpu.{part}").rows
        for row in run(setting):
            kept.add(part, row)
            print(row.cells(), file=sys.stderr, flush=True)
    except Exception as raised:
        text = str(raised).strip() or "no message"
        error = f"{type(raised).__name__}: {text.splitlines()[0]}"
        print(f"{part}: {error}", file=sys.stderr, flush=True)
    kept.end(part, time.monotonic() - began, error)


def limited(part: str, shapes: str, file: Path) -> None:
    """Measure a part in a process of its own, for so long as it may take."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", "--part", part]
    began, error = time.monotonic(), ""
    try:
        done = subprocess.run(
            [*command, "--shapes", shapes, "--kept", str(file)], timeout=PARTS[part], check=False
        )
        if done.returncode:
            error = f"its process ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        error = f"took longer than {PARTS[part]} s"
    if error:
        Kept(file).end(part, time.monotonic() - began, error)


def table(parts: list[str], kept: Kept, setting: Setting) -> str:
    """Return what is known of the parts, in Markdown."""
    where = torch.cuda.get_device_name() if setting.cuda else "CPU (figures mean nothing)"
    peak = peak_flops(setting.device, bfloat16=True) / 1e12
    lines = [
        f"{where}, shapes {setting.shapes}, {peak:,.3g} TFLOP/s, torch {torch.__version__}",
        "", "| what | found | aim |", "|---|---|---|",
    ]  # fmt: skip
    for part in parts:
        lines.append(f"| **{part}** | {kept.content.get(part, {}).get('seconds', 0):.0f} s | |")
        lines += [row.cells() for row in kept.rows(part)]
        if error := kept.error(part):
            lines.append(f"| {part} failed | {error} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
