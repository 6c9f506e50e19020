"""Progress of a training: lines from the metrics that it writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wavemill.jobs.plain import Terminal, plain

POLL_SECONDS = 0.5
FILE = "metrics.jsonl"


@contextmanager
def following(console: Terminal, run: Path, unit: str) -> Iterator[None]:
    """Print the metrics that a run writes while the block lasts."""
    stop = threading.Event()
    path = run / FILE
    begin = path.stat().st_size if path.is_file() else 0
    thread = threading.Thread(target=_follow, args=(console, path, begin, unit, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(console: Terminal, path: Path, at: int, unit: str, stop: threading.Event) -> None:
    while True:
        last = stop.wait(POLL_SECONDS)
        if path.is_file():
            at = min(at, path.stat().st_size)  # a resumed run drops records of steps not kept
            with path.open("rb") as file:
                file.seek(at)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    at += len(line)
                    _print(console, line, unit)
        if last:
            return


def _print(console: Terminal, line: bytes, unit: str) -> None:
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return
    kind, step = record.get("kind"), record.get("step", 0)
    if kind == "train":
        console.print(plain(_training_line(record, unit)), soft_wrap=True, highlight=False)
    elif kind == "note":
        console.print(plain(record["text"]), soft_wrap=True, highlight=False)
    elif kind == "held_out":
        console.print(plain(f"step {step:6}  held out: {_losses(record)}"), soft_wrap=True)
    elif kind == "example":
        told = f"    {record['name']}: {record['answer']!r} (reference {record['reference']!r})"
        console.print(plain(told), soft_wrap=True, highlight=False)


def _training_line(record: dict[str, Any], unit: str) -> str:
    done = record["units"] / max(1.0, record["total_units"])
    scale = 1000 if unit == "s" else 1
    rate = record["units_per_second"] / scale
    left = (record["total_units"] - record["units"]) / scale / max(rate, 1e-9)
    return (
        f"step {record['step']:6}  {min(done, 1):6.1%}  {_losses(record)}  {rate:,.0f} {unit}/s  "
        f"waits {record['data_wait']:.1%}  {_clock(left)} left"
    )


def _losses(record: dict[str, Any]) -> str:
    """Return the losses of whole heads as text; those by task are in TensorBoard."""
    found = {n: v for n, v in record.items() if n.startswith("loss/") and n.count("/") == 1}
    return "  ".join(f"{name.removeprefix('loss/')} {value:.3f}" for name, value in found.items())


def _clock(seconds: float) -> str:
    seconds = max(0, round(seconds))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
