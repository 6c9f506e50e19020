"""Batches of single clips of a corpus, for training loops of your own.

    from wavemill.model.train.batches import clip_batches

    with clip_batches("work", 24_000) as batches:
        for batch in batches:
            ...  # batch.audio, batch.texts, batch.tokens ...

They are endless, shuffled by the seed, and the same for the same arguments. `batches.state()` is
the position as JSON; `batches.restore(state)` continues there. `batches.problems()` counts the
rows that were skipped, by reason. Those of the LLM: `wavemill.batches`.
"""

from __future__ import annotations

from pathlib import Path

from wavemill.model.data.clip_batches import ClipBatches
from wavemill.model.data.clips import ClipBatch, ClipSettings
from wavemill.model.data.corpus import TRAIN, Corpus
from wavemill.model.data.source import Batches, Share


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

    `corpus` is a WORKDIR (folder or URL), a snapshot of one, or a folder of Parquet files;
    `settings` say which of its tables is read (`pretrain`), how long clips and batches are, and
    the seed. Audio is resampled to `sample_rate` (Hz). `splits` are the splits whose rows are
    used; None in it stands for rows without a split. Of `world` workers, the one with number
    `rank` gets every `world`-th batch.

    A batch is a `wavemill.model.data.clips.ClipBatch`: `audio` float32 (clips, samples), `tokens`
    int64 (clips, tokens), `samples` and `token_counts` int64 (clips,), `texts`, `ids`.

    Raises DataError for a corpus without usable rows.
    """
    settings = settings or ClipSettings()
    rows = Corpus.open(str(corpus), settings.corpus, splits)
    return ClipBatches(rows, settings, sample_rate, Share(rank, world))
