"""The learning rate over a training."""

from __future__ import annotations

import math

from wavemill.model.train.learner import Progress
from wavemill.model.train.settings import OptimizerSettings


def learning_rate(settings: OptimizerSettings, progress: Progress, step_units: int) -> float:
    """Return the rate of a step that learns `step_units`.

    It rises in a line over `warm_up` of the training, which the first step already is a part of,
    and then falls as half a cosine to `final_learning_rate`, or by half every `half_life_steps`.
    """
    warm = settings.warm_up * progress.total_units
    if progress.units < warm:
        return settings.learning_rate * min(1.0, (progress.units + step_units) / warm)
    if settings.half_life_steps is not None:
        return settings.learning_rate * 0.5 ** (progress.step / settings.half_life_steps)
    rest = max(1.0, progress.total_units - warm)
    done = min(1.0, (progress.units - warm) / rest)
    swing = settings.learning_rate - settings.final_learning_rate
    return settings.final_learning_rate + swing * 0.5 * (1 + math.cos(math.pi * done))
