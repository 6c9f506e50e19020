"""Progress of a build: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from wavemill.jobs.durations import hours, time_text
from wavemill.jobs.plain import Terminal, print_note
from wavemill.pipeline import build
from wavemill.pipeline.build import ScanProgress, Watcher
from wavemill.pipeline.estimate import estimate
from wavemill.pipeline.execution import events
from wavemill.pipeline.execution.events import Event, ShardDone, ShardFailed, TaskDone
from wavemill.pipeline.lock import Held
from wavemill.pipeline.plan import Plan
from wavemill.pipeline.remaining import Remaining
from wavemill.pipeline.store import Store

LINE_EVERY_SECONDS = 10.0  # of plain output, where there is no terminal

Listener = Callable[[Event], None]


@contextmanager
def build_progress(console: Terminal, plan: Plan) -> Iterator[Listener]:
    """Show the progress of a plan; gives a function that gets every event."""
    if console.is_terminal:
        with _bars(console, plan) as listener:
            yield listener
    else:
        yield _Lines(console, plan)


@contextmanager
def scan_progress(console: Terminal) -> Iterator[Callable[[int, int | None], None] | None]:
    """Show how many files were scanned; gives None where there is no terminal."""
    if not console.is_terminal:
        yield None
        return
    with console.status("looking at the sources") as status:

        def progress(done: int, total: int | None) -> None:
            of = f" of {total:,}" if total else ""
            status.update(f"looking at the sources: {done:,}{of} files")

        yield progress


@contextmanager
def _bars(console: Terminal, plan: Plan) -> Iterator[Listener]:
    columns = (
        TextColumn("{task.description:14}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    work, started = Remaining(plan.loads(), estimate(plan)), time.monotonic()
    with Progress(*columns, console=console, transient=True) as progress:
        bars: dict[str, TaskID] = {
            stage: progress.add_task(stage, total=total_ms, text="")
            for stage, total_ms in work.total_ms.items()
        }
        whole = progress.add_task("all", total=1.0, text="")

        def listener(event: Event) -> None:
            if isinstance(event, ShardFailed):
                progress.console.print(_failure(event), style="red")
            work.add(event)
            for stage, bar in bars.items():
                done_ms, total_ms = work.done_ms[stage], work.total_ms[stage]
                text = f"{hours(done_ms)} of {hours(total_ms)}"
                progress.update(bar, completed=done_ms, text=text)
            left = _time_left(work, time.monotonic() - started)
            progress.update(whole, completed=work.share, text=f"{work.share:.0%}{left}")

        yield listener


class Shown(Watcher):
    """Shows a build on a console."""

    def __init__(self, console: Terminal) -> None:
        self._console = console

    def note(self, text: str) -> None:
        print_note(self._console, text)

    def scanning(self) -> AbstractContextManager[ScanProgress | None]:
        return scan_progress(self._console)

    def building(self, plan: Plan) -> AbstractContextManager[Listener]:
        return build_progress(self._console, plan)


def hold(
    console: Terminal, store: Store, command: str, finishing: bool = True
) -> AbstractContextManager[Held]:
    """Hold the WORKDIR's lock as `pipeline.build.hold` does, with its notes on the console."""
    return build.hold(store, command, partial(print_note, console), finishing)


class _Lines:
    """Prints a line for each failure, and one every few seconds."""

    def __init__(self, console: Terminal, plan: Plan) -> None:
        self._console = console
        self._total = sum(load.shards for load in plan.loads())
        self._shards, self._shards_done = plan.pending, 0
        self._done = 0
        self._work = Remaining(plan.loads(), estimate(plan))
        self._started = self._printed = time.monotonic()

    def __call__(self, event: Event) -> None:
        self._work.add(event)
        if isinstance(event, ShardFailed):
            self._console.print(_failure(event), soft_wrap=True)
        elif isinstance(event, ShardDone):
            self._shards_done += 1
            self._maybe_print("a shard done", last=self._shards_done == self._shards)
        elif isinstance(event, TaskDone):
            self._done += 1
            self._maybe_print(f"{event.result.stage} done")
        elif isinstance(event, events.Progress):
            self._maybe_print(f"in {event.stage}")

    def _maybe_print(self, what: str, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._printed >= LINE_EVERY_SECONDS:
            self._printed = now
            audio_ms = self._work.audio_ms
            self._console.print(
                f"{now - self._started:6.0f} s  {self._done}/{self._total} steps, "
                f"{self._shards_done}/{self._shards} shards, "
                f"{hours(self._work.share * audio_ms)} of {hours(audio_ms)} of audio"
                f"{'' if last else _time_left(self._work, now - self._started)} ({what})",
                soft_wrap=True,
            )


def _time_left(work: Remaining, elapsed: float) -> str:
    """Return for example ", about 3 min left", or "" where nothing is known."""
    seconds = work.seconds_left(elapsed)
    return "" if seconds is None else f", about {time_text(seconds)} left"


def _failure(event: ShardFailed) -> str:
    return f"shard {event.shard_id} given up in {event.stage}: {event.message}"
