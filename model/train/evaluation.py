"""What a network makes of held-out data while it learns: its losses, and decoded samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from wavemill.model.train.learner import Batch, Progress
from wavemill.model.train.metrics import Means, MetricsLog
from wavemill.model.train.stepping import Stepper

B = TypeVar("B", bound=Batch)


def evaluate(
    stepper: Stepper[B], held_out: Sequence[B], at: Progress, metrics: MetricsLog, examples: int = 0
) -> None:
    """Write down the losses on this rank's part of the held-out data, and decode samples.

    All ranks take part, each with as many micro-batches as the one that has least. `examples` is
    how many are decoded, by the first rank, or by all where the network is sharded. Raises
    NotFinite.
    """
    ranks, learner = stepper.ranks, stepper.learner
    for module in stepper.modules.values():
        module.eval()
    means = Means()
    # A rank may have lost some to audio that cannot be decoded; each counts with all others.
    count = min(ranks.gathered(len(held_out)))
    with torch.no_grad():
        for batch in held_out[:count]:
            here = batch.to(ranks.device)
            progress = replace(at, counts=ranks.summed(learner.counts(here)))
            for name in stepper.optimizers:
                if learner.learns(name, progress):
                    means.add(stepper.loss(name, here, progress).parts)
        values = means.taken(ranks)
        if values:
            metrics.write("held_out", at.step, values)
        if examples:
            for example in learner.examples(examples):
                metrics.example(example, at.step)
    ranks.gathered(None)
