"""Micro-batches made of documents in worker processes: sound is decoded there, in order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from wavemill.model.data.batch import PackedBatch, audible_batch
from wavemill.model.data.documents import Document
from wavemill.model.data.source import Problems
from wavemill.model.tokenizer.config import EncoderConfig


@dataclass(frozen=True)
class Made:
    """What became of the documents of a micro-batch."""

    batch: PackedBatch | None  # None: no sound can be decoded
    problems: Sequence[tuple[str, str, str]]  # as `Problems.add` takes them


class _Noted(Problems):
    """Problems that are told to another process."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, str, str]] = []

    def add(self, reason: str, what: str, why: str = "") -> None:
        self.noted.append((reason, what, why))


class Makers:
    """Processes that make micro-batches; each has one thread of torch."""

    def __init__(self, count: int, encoder: EncoderConfig) -> None:
        # A fork of a process that has threads or a GPU may hang.
        context = multiprocessing.get_context("spawn")
        self._encoder = encoder
        self._pool = ProcessPoolExecutor(count, context, initializer=torch.set_num_threads,
                                         initargs=(1,))  # fmt: skip

    def submit(self, documents: Sequence[Document]) -> Future[Made]:
        """Make a micro-batch; `unpacked` has the result as tensors."""
        return self._pool.submit(_made, list(documents), self._encoder)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def unpacked(made: Made) -> Made:
    """Return what a process has made, with tensors in place of arrays."""
    if made.batch is None:
        return made
    return replace(made, batch=_mapped(made.batch, torch.from_numpy))


def _made(documents: list[Document], encoder: EncoderConfig) -> Made:
    problems = _Noted()
    batch = audible_batch(documents, encoder, problems)
    # Arrays go through a pipe; tensors would take a file each.
    return Made(None if batch is None else _mapped(batch, Tensor.numpy), problems.noted)


def _mapped(batch: PackedBatch, change: Any) -> PackedBatch:
    def changed(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {n: change(v) for n, v in fields.items() if hasattr(v, "dtype")}

    mels = tuple(replace(one, **changed(vars(one))) for one in batch.mels)
    return replace(batch, mels=mels, **changed(vars(batch)))
