"""Micro-batches for the LLM: documents packed into rows of bounded length, for one rank."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wavemill.model.data.batch import PackedBatch, audible_batch, packed_batch
from wavemill.model.data.documents import Document
from wavemill.model.data.making import Made, Makers, unpacked
from wavemill.model.data.planning import Place, Planner, Span
from wavemill.model.data.source import Batches, DataError, Problems, Share
from wavemill.model.tokenizer.config import EncoderConfig


def packed(lengths: Sequence[int], limit: int, rng: np.random.Generator) -> list[list[int]]:
    """Return bins of item numbers, at most `limit` in each: every item once, in drawn order.

    Items are taken in a drawn order and go where they fit first; then the bins are shuffled, so
    that full ones do not all come first. Raises ValueError for an item longer than the limit.
    """
    bins: list[list[int]] = []
    room = np.zeros(len(lengths), np.int64)  # of each bin
    open_from = 0  # bins before are full enough to be passed over
    shortest = min(lengths, default=0)
    for item in rng.permutation(len(lengths)).tolist():
        length = lengths[item]
        if length > limit:
            raise ValueError(f"item {item} is {length} long, above the limit of {limit}")
        fits = room[open_from : len(bins)] >= length
        at = open_from + int(fits.argmax()) if fits.any() else len(bins)
        if at == len(bins):
            bins.append([])
            room[at] = limit
        bins[at].append(item)
        room[at] -= length
        while open_from < len(bins) and room[open_from] < shortest:
            open_from += 1
    return [bins[i] for i in rng.permutation(len(bins)).tolist()]


MAX_SILENT_BATCHES = 16  # at the start of a training, without any audio that can be decoded
AHEAD_PER_WORKER = 2  # micro-batches that are being made
COUNTING_WINDOW_BYTES = 1 << 20  # of text and tokens, held at once while an epoch is measured


@dataclass(frozen=True)
class _PackedWindow:
    bins: list[list[Document]]
    behind: Place


@dataclass
class _Stream:
    """One of the streams that the data is divided into, each with its own windows."""

    planner: Planner
    span: Span
    positions: int
    begin: Place = field(default_factory=dict)  # of the window at hand
    taken: int = 0  # bins of that window
    total: int = 0  # bins ever taken: the rank with the most knows the stream's position
    planned: ThreadPoolExecutor | None = None  # plans a window while the one before is used
    _bins: list[list[Document]] | None = None
    _behind: Place = field(default_factory=dict)
    _ahead: Future[_PackedWindow] | None = None

    def __next__(self) -> list[Document]:
        if self._bins is None or self.taken == len(self._bins):
            self._next_window()
        assert self._bins is not None
        self.taken += 1
        self.total += 1
        return self._bins[self.taken - 1]

    def _next_window(self) -> None:
        if self._bins is not None:
            self.begin, self.taken = self._behind, 0
        began = self.planner.epochs(self.begin)
        while True:
            window = self._window(self.begin) if self._ahead is None else self._ahead.result()
            self._bins, self._behind = window.bins, window.behind
            if self.planned is not None:
                self._ahead = self.planned.submit(self._window, self._behind)
            if self.taken < len(self._bins):
                return
            self.begin, self.taken = self._behind, 0
            # A stream of several has other files in each epoch, and some may be usable.
            tries = 1 if self.span.streams == 1 else 16 * self.span.streams
            if self.planner.epochs(self._behind) > began + tries:
                raise DataError("nothing in the data can be learnt from; see what was skipped")

    def _window(self, begin: Place) -> _PackedWindow:
        documents, behind = self.planner.window(begin, self.span)
        documents = [one for one in documents if one.loss_positions]
        rng = np.random.default_rng((self.span.seed, self.span.stream, *_numbers(begin)))
        bins = packed([len(one) for one in documents], self.positions, rng)
        return _PackedWindow([[documents[i] for i in bin_] for bin_ in bins], behind)


@dataclass(frozen=True)
class _Making:
    """A micro-batch that a process makes."""

    documents: list[Document]
    made: Future[Made] | None
    state: dict[str, Any]  # the position behind it
    error: Exception | None = None  # in place of it


class LlmBatches(Batches[PackedBatch]):
    """Micro-batch i comes from stream i % streams, so that ranks read different files.

    `streams` is a setting of the training, not of the workers. If it is a multiple of the number
    of workers, each worker reads only its own files; otherwise some also read what others train on.
    """

    def __init__(
        self,
        planner: Planner,
        encoder: EncoderConfig,
        positions: int,
        span: Span,
        share: Share,
        workers: int = 0,
    ) -> None:
        """Make batches of at most `positions`; `encoder` is whose log-mels they have.

        With `workers`, so many processes decode sound, ahead of what is asked for; the batches and
        positions are the same.
        """
        self._workers = workers
        self._makers: Makers | None = None
        self._making: deque[_Making] = deque()
        self._state: dict[str, Any] | None = None  # behind the last batch that was handed out
        self._planner, self._encoder, self._positions = planner, encoder, positions
        self._span, self._share = span, share
        self._next = self._base = 0  # the ranks take micro-batches in turn from `_base` on
        self._planned: ThreadPoolExecutor | None = None
        self._sounds = Problems()
        self._silent: int | None = 0  # micro-batches before the first whose audio can be decoded
        self._streams: dict[int, _Stream] = {}
        self._begin({})

    def __next__(self) -> PackedBatch:
        if not self._workers:
            return self._made(self._documents())
        if self._makers is None:
            self._makers = Makers(self._workers, self._encoder)
        while len(self._making) < AHEAD_PER_WORKER * self._workers:
            self._making.append(self._begun(self._makers))
            if self._making[-1].error is not None:
                break
        one = self._making.popleft()
        if one.error is not None or one.made is None:
            assert one.error is not None
            raise one.error
        made = unpacked(one.made.result())
        self._state = one.state
        for problem in made.problems:
            self._sounds.add(*problem)
        return self._audible(made.batch, one.documents)

    def _begun(self, makers: Makers) -> _Making:
        """Let a process make the next micro-batch; an error is raised when it is its turn."""
        try:
            documents = self._documents()
        except Exception as error:
            return _Making([], None, {}, error)
        made = makers.submit(documents) if documents else None
        if made is None:
            made = Future()
            made.set_result(Made(None, ()))
        return _Making(documents, made, self._position())

    def _documents(self) -> list[Document]:
        """Return what the next micro-batch of this rank is made of."""
        while True:
            number = self._next
            self._next += 1
            stream = self._streams.get(number % self._span.streams)
            documents = next(stream) if stream is not None else []
            if (number - self._base) % self._share.world == self._share.rank:
                return documents

    def state(self) -> dict[str, Any]:
        return self._position() if self._state is None else self._state

    def _position(self) -> dict[str, Any]:
        streams = {
            str(number): {"begin": s.begin, "taken": s.taken, "total": s.total}
            for number, s in self._streams.items()
        }
        return {"next": self._next, "digest": self._planner.digest(), "streams": streams}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state["digest"] != self._planner.digest():
            raise DataError(
                "the files of the corpus are not those that this training began with; remedy: "
                "name the snapshot that it began with (--corpus WORKDIR/snapshots/NUMBER), or "
                "another --out with --init to begin anew from what was learnt"
            )
        self._next = self._base = int(state["next"])
        self._state = None
        self._begin(state["streams"])

    def merged(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        world = len(states)
        streams: dict[str, Any] = {}
        for state in states:
            for number, one in state["streams"].items():
                if number not in streams or one["total"] > streams[number]["total"]:
                    streams[number] = one
        furthest = max(int(state["next"]) for state in states) - self._base
        reached = self._base + -(-furthest // world) * world
        return dict(states[0]) | {"next": reached, "streams": streams}

    def problems(self) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for one in (*self._planner.problems(), self._sounds):
            total.update(one.counts)
        return total

    def close(self) -> None:
        self._making.clear()
        if self._makers is not None:
            self._makers.close()
            self._makers = None
        if self._planned is not None:
            self._planned.shutdown(wait=False, cancel_futures=True)
            self._planned = None

    def _begin(self, streams_state: Mapping[str, Any]) -> None:
        world, streams = self._share.world, self._span.streams
        first = self._base + self._share.rank
        mine = {(first + world * i) % streams for i in range(streams)}
        self._streams = {}
        self.close()
        self._planned = ThreadPoolExecutor(1, thread_name_prefix="wavemill-windows")
        for number in sorted(mine):
            span = replace(self._span, stream=number)
            stream = _Stream(self._planner, span, self._positions, planned=self._planned)
            if (known := streams_state.get(str(number))) is not None:
                stream.begin, stream.taken = known["begin"], int(known["taken"])
                stream.total = int(known["total"])
            self._streams[number] = stream

    def _made(self, documents: list[Document]) -> PackedBatch:
        return self._audible(audible_batch(documents, self._encoder, self._sounds), documents)

    def _audible(self, made: PackedBatch | None, documents: list[Document]) -> PackedBatch:
        """Return a micro-batch; where no sound can be decoded, one that is not trained on."""
        if made is not None:
            self._silent = None
            return made
        # Another micro-batch in its place would shift the micro-batches of the other ranks.
        if self._silent is not None:
            self._silent += 1
            if self._silent > MAX_SILENT_BATCHES:
                raise DataError(f"no audio can be decoded of {', '.join(d.id for d in documents)}")
        return packed_batch([one.without_loss() for one in documents], self._encoder)


def epoch_positions(planner: Planner, seed: int = 0) -> int:
    """Return how many positions an epoch has; a planner without audio is fast."""
    # Small windows: without audio, what is held of a row is far more than its `nbytes`.
    span = Span(seed=seed, window_bytes=COUNTING_WINDOW_BYTES)
    return sum(len(one) for one in epoch(planner, span) if one.loss_positions)


def epoch(planner: Planner, span: Span) -> Iterator[Document]:
    """Yield the documents of one epoch, unshuffled. Raises DataError when there are none."""
    place: Place = {}
    while True:
        documents, place = planner.window(place, span)
        if planner.epochs(place) > 0:
            return
        yield from documents


def _numbers(place: Place) -> list[int]:
    return [number for name in ("corpus", "texts") for number in place.get(name, [])]
