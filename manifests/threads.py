"""Running functions in threads, and giving up those that hang."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

_LOOK_EVERY_S = 1.0
_CLOSE_S = 10.0  # to wait for the threads to end, at most
_WINDOW_PER_THREAD = 16  # jobs that are not collected yet

Item = TypeVar("Item")
Result = TypeVar("Result")
Beat = Callable[[], None]  # a job calls it now and then, to show that it goes on


class Stalled(Exception):
    """A job has neither returned nor called its beat for too long."""


def in_threads(
    work: Callable[[Item, Beat], Result], items: Iterable[Item], threads: int, stalled_s: float
) -> Iterator[tuple[Item, Result | Stalled]]:
    """Yield (item, result of `work`) for each item, in order; `threads` items are done in parallel.

    If `work` neither returns nor calls its beat for `stalled_s` seconds, the result is Stalled and
    the thread is abandoned, since a call that hangs in the system cannot be ended. Raises what
    `work` raises.
    """
    pool = _Pool(threads, stalled_s)
    window: deque[_Job[Item, Result]] = deque()
    try:
        for item in items:
            window.append(_Job(work, item))
            pool.take(window[-1])
            if len(window) >= threads * _WINDOW_PER_THREAD:
                job = window.popleft()
                yield job.item, job.result() if pool.has_ended(job) else Stalled()
        while window:
            job = window.popleft()
            yield job.item, job.result() if pool.has_ended(job) else Stalled()
    finally:
        for job in window:
            job.wanted = False
        pool.close()


class _Job(Generic[Item, Result]):
    def __init__(self, work: Callable[[Item, Beat], Result], item: Item) -> None:
        self._work = work
        self.item = item
        self.wanted = True
        self.ended = threading.Event()
        self.thread: threading.Thread  # once it has begun
        self.last_beat_s: float | None = None  # None: not begun
        self._result: Result | None = None
        self._error: BaseException | None = None

    def beat(self) -> None:
        self.last_beat_s = time.monotonic()
        if not self.wanted:
            raise Stalled

    def run(self) -> None:
        try:
            self.beat()
            self._result = self._work(self.item, self.beat)
        except BaseException as error:
            self._error = error
        self.ended.set()

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


class _Pool:
    """Threads that do jobs in order. Those that hang are replaced and not waited for."""

    def __init__(self, threads: int, stalled_s: float) -> None:
        self._max_threads = threads
        self._stalled_s = stalled_s
        self._jobs: SimpleQueue[_Job[Any, Any] | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()

    def take(self, job: _Job[Any, Any]) -> None:
        self._jobs.put(job)
        if len(self._threads) < self._max_threads:
            self._start()

    def has_ended(self, job: _Job[Any, Any]) -> bool:
        """Wait for the oldest job; return False if it hangs and was given up."""
        # Threads take jobs in order, so it has begun or will begin next.
        while not job.ended.wait(min(_LOOK_EVERY_S, self._stalled_s)):
            last = job.last_beat_s
            if last is not None and time.monotonic() - last > self._stalled_s:
                job.wanted = False
                self._threads.discard(job.thread)
                self._start()
                return False
        return True

    def close(self) -> None:
        """End the threads; wait for running jobs, but not long."""
        for _ in self._threads:
            self._jobs.put(None)
        end = time.monotonic() + _CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _start(self) -> None:
        # A daemon, so that a thread that hangs does not keep the program running.
        thread = threading.Thread(target=self._run, name="wavemill-scan", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.thread = threading.current_thread()
            job.run()
            if job.thread not in self._threads:  # it was replaced
                return
