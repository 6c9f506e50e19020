"""Training batches of a corpus, for training loops of your own.

    from wavemill.model.train.batches import training_batches

    with training_batches("work", "sft", model="run/model") as batches:
        for batch in batches:
            ...  # batch.audio_ids, batch.text_ids, batch.audio_labels, batch.mels ...

They are the batches that `wavemill train` uses: endless, shuffled by the seed, and the same for
the same arguments. `batches.state()` is the position as JSON; `batches.restore(state)` continues
there. `batches.problems()` counts the rows that were skipped, by reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wavemill.model.data.batch import PackedBatch
from wavemill.model.data.clip_batches import ClipBatches
from wavemill.model.data.clips import ClipBatch, ClipSettings
from wavemill.model.data.corpus import TRAIN, Corpus
from wavemill.model.data.source import Batches, Share
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.recipe import DataSettings, LoopSettings, PretrainRecipe, SftRecipe


def training_batches(
    corpus: str | Path,
    kind: Literal["pretrain", "sft"] = "sft",
    model: str | Path | None = None,
    *,
    texts: Sequence[str | Path] = (),
    positions: int = 2048,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Batches[PackedBatch]:
    """Return the micro-batches on which the audio LLM trains: documents packed into one row.

    `corpus` is a WORKDIR (folder or URL), a snapshot of one, or a folder of Parquet files; rows of
    split "train" or without a split are used. `kind` "sft" gives conversations; "pretrain" gives
    the seven pre-training tasks, with plain `texts` (JSONL or Parquet) for the text task. The
    text tokenizer and the ids are those of the folder `model`, or of the "tiny" network.

    A batch is a `wavemill.model.data.batch.PackedBatch` of at most `positions` positions: ids and
    labels int64 (positions,), loss masks bool (positions,), log-mels float32 (pieces, 128,
    frames). Of `world` workers, the one with number `rank` gets every `world`-th batch.

    Raises DataError for a corpus without usable rows, and WeightsError for a bad model folder.
    """
    data, loop = DataSettings(positions=positions), LoopSettings(seed=seed)
    recipe = (
        SftRecipe(data=data, loop=loop) if kind == "sft" else PretrainRecipe(data=data, loop=loop)
    )
    init = None if model is None else Path(model)
    training = LlmTraining(str(corpus), recipe, Path(), tuple(map(str, texts)), init=init)
    return training.data_source().batches(Share(rank, world))


def clip_batches(
    corpus: str | Path,
    sample_rate: int = 16_000,
    *,
    settings: ClipSettings | None = None,
    splits: frozenset[str | None] = TRAIN,
    rank: int = 0,
    world: int = 1,
) -> Batches[ClipBatch]:
    """Return micro-batches of single clips: audio, transcript and semantic tokens.

    `corpus` as in `training_batches`; `settings` say which of its tables is read (`pretrain`), how
    long clips and batches are, and the seed. Audio is resampled to `sample_rate` (Hz). `splits`
    are the splits whose rows are used; None in it stands for rows without a split.

    A batch is a `wavemill.model.data.clips.ClipBatch`: `audio` float32 (clips, samples), `tokens`
    int64 (clips, tokens), `samples` and `token_counts` int64 (clips,), `texts`, `ids`.

    Raises DataError for a corpus without usable rows.
    """
    settings = settings or ClipSettings()
    rows = Corpus.open(str(corpus), settings.corpus, splits)
    return ClipBatches(rows, settings, sample_rate, Share(rank, world))
