"""Batches in an order that can be resumed, made ahead of time, and what could not be used."""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

B = TypeVar("B")

AHEAD = 4  # batches that are ready and wait
POLL_SECONDS = 0.2  # how soon the thread sees that it is to stop


@dataclass(frozen=True)
class Share:
    """Which micro-batches are this rank's: every `world`-th, beginning with number `rank`."""

    rank: int = 0
    world: int = 1


class Batches(ABC, Generic[B]):
    """An endless series of micro-batches, the part of one rank.

    Micro-batch i of the whole series depends on the data, the settings and the seed alone, and
    goes to rank i % world. All ranks take equally many, so the position in the series is global,
    and a training may continue with another number of workers. As a context manager, it closes
    itself.
    """

    @abstractmethod
    def __next__(self) -> B:
        """Return the next micro-batch of this rank; raises DataError when there is nothing."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the position behind the last micro-batch, as JSON, as far as this rank knows."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue behind a position that `merged` gave."""

    def merged(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the global position from that of each rank, rank 0 first.

        They are all the same here; sources whose ranks read different files override this.
        """
        return dict(states[0])

    def problems(self) -> Mapping[str, int]:
        """Return how often something was skipped, by reason, on this rank."""
        return {}

    def close(self) -> None:
        """Stop the threads that read ahead."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Batches[B]:
        return self


class DataError(Exception):
    """There is no data to train on: says where, and what to do."""


class Prefetched(Batches[B]):
    """Makes batches ahead of time in a thread; positions are those of what was handed out."""

    def __init__(self, batches: Batches[B], ahead: int = AHEAD, pinned: bool = False) -> None:
        """Make `ahead` batches, `pinned` in memory that a GPU copies from while it computes."""
        self._batches, self._pinned = batches, pinned
        self._ahead = ahead
        self._state = batches.state()
        self.waited_seconds = 0.0  # that `__next__` had to wait in all
        self._stop = threading.Event()
        self._queue: queue.Queue[tuple[B, dict[str, Any]] | BaseException] = queue.Queue(ahead)
        self._thread: threading.Thread | None = None

    def __next__(self) -> B:
        if self._thread is None:
            self._begin()
        before = time.perf_counter()
        found = self._queue.get()
        self.waited_seconds += time.perf_counter() - before
        if isinstance(found, BaseException):
            self.close()
            raise found
        batch, self._state = found
        return batch

    def state(self) -> dict[str, Any]:
        return self._state

    def restore(self, state: Mapping[str, Any]) -> None:
        self.close()
        self._batches.restore(state)
        self._state = dict(state)

    def merged(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self._batches.merged(states)

    def problems(self) -> Mapping[str, int]:
        return self._batches.problems()

    def close(self) -> None:
        """Stop the thread; batches made ahead are dropped, and `restore` must come next."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
        self._batches.close()

    def _begin(self) -> None:
        self._stop = threading.Event()
        self._queue = queue.Queue(self._ahead)
        self._thread = threading.Thread(target=self._fill, daemon=True, name="wavemill-batches")
        self._thread.start()

    def _fill(self) -> None:
        while not self._stop.is_set():
            try:
                item: Any = next(self._batches)
                if self._pinned and hasattr(item, "pinned"):
                    item = item.pinned()
                item = (item, self._batches.state())
            except BaseException as error:  # raised again in `__next__`, whatever it is
                item = error
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=POLL_SECONDS)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException):
                return


MAX_MESSAGES = 20  # kept; the rest are counted

log = logging.getLogger(__name__)


class Problems:
    """Counts by reason (a stable snake_case name), and the first few messages."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.messages: list[str] = []
        self._seen: set[tuple[str, str]] = set()

    def add(self, reason: str, what: str, why: str = "") -> None:
        """Count a problem of `what`, once in all epochs together."""
        if (reason, what) in self._seen:
            return
        self._seen.add((reason, what))
        self.counts[reason] += 1
        if len(self.messages) < MAX_MESSAGES:
            message = f"skipped {what}: {reason}" + (f" ({why})" if why else "")
            self.messages.append(message)
            log.warning("%s", message)
