"""Progress of an evaluation: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wavemill.jobs.plain import Terminal, plain
from wavemill.model.evaluate.runs.execute import RunProgress

LINE_EVERY_SECONDS = 10.0  # of plain output, where there is no terminal
COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("items"),
    TimeElapsedColumn(),
    TextColumn("{task.fields[failed]}"),
)


def show_answers(name: str, going: Iterable[RunProgress]) -> None:
    """Consume a run's states, and show its progress on standard error."""
    console = Terminal(stderr=True)
    if console.is_terminal:
        _with_bar(console, name, going)
    else:
        _with_lines(console, name, going)


def _with_bar(console: Terminal, name: str, going: Iterable[RunProgress]) -> None:
    with Progress(*COLUMNS, console=console) as progress:
        bar = progress.add_task(str(plain(name)), total=None, failed="")
        for now_at in going:
            failed = f"{now_at.failed:,} failed" if now_at.failed else ""
            progress.update(bar, total=now_at.total, completed=now_at.done, failed=failed)


def _with_lines(console: Terminal, name: str, going: Iterable[RunProgress]) -> None:
    begun = printed = time.monotonic()
    for number, at in enumerate(going):
        last = at.done == at.total
        if number == 0 or last or time.monotonic() - printed >= LINE_EVERY_SECONDS:
            printed = time.monotonic()
            failed = f", {at.failed:,} failed" if at.failed else ""
            line = f"{printed - begun:6.0f} s  {at.done:,}/{at.total:,} items{failed}"
            console.print(plain(f"{name}: {line}"), soft_wrap=True)


def show_judging() -> Callable[[int, int], None] | None:
    """Return a function that shows the progress of a judge; None without a terminal."""
    console = Terminal(stderr=True)
    if not console.is_terminal:
        return None

    def show(done: int, total: int) -> None:
        console.print(f"judged {done:,}/{total:,}", end="\r" if done < total else "\n")

    return show
