"""What the LLM learns from, for a training loop of your own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wavemill.manifests.filesystems import anchored
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.library.corpus import Place, Workdir
from wavemill.pipeline.recipes import llm_recipe

if TYPE_CHECKING:
    from wavemill.model.data.batch import PackedBatch
    from wavemill.model.data.source import Batches


def batches(
    corpus: Workdir | Place,
    kind: Literal["pretrain", "sft"] = "sft",
    recipe: str = "tiny",
    settings: Mapping[str, Any] | None = None,
    *,
    texts: Sequence[Place] = (),
    init: Place | None = None,
    rank: int = 0,
    world: int = 1,
) -> Batches[PackedBatch]:
    """Return an endless iterator over micro-batches, exactly those of `wavemill train`.

    `corpus` is a WORKDIR, a snapshot of one, or what `wavemill.open` gave. `recipe` is tiny, small,
    paper or a YAML file, and `settings` are fields that differ from it, such as
    {"data.positions": 512}. `init` is a model folder, whose text tokenizer and shape are used.
    With several ranks, each gets every `world`-th micro-batch. A `PackedBatch` of at most
    `data.positions` positions: ids and labels int64 (positions,), loss masks bool (positions,),
    log-mels float32 (pieces, 128, frames). `state()` is the position as JSON, and `restore`
    continues there; `problems()` counts the rows that were skipped, by reason.

    Raises ConfigError, also for a corpus without usable rows, and WeightsError for a bad `init`.
    """
    from wavemill.model.data.source import DataError, Share
    from wavemill.model.train.llm import LlmTraining

    overrides = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    training = LlmTraining(
        _place(corpus),
        llm_recipe(kind, recipe, overrides),
        Path(),  # nothing is written
        tuple(anchored(os.fspath(text)) for text in texts),
        init=None if init is None else Path(init),
    )
    try:
        return training.data_source().batches(Share(rank, world))
    except DataError as error:
        raise ConfigError(str(error)) from None


def _place(corpus: Workdir | Place) -> str:
    if isinstance(corpus, Workdir):
        return f"{corpus.store.root}/{corpus.snapshot.folder}"
    return anchored(os.fspath(corpus))
