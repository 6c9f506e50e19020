"""What every training is told: how to step, how long, and what to keep."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerSettings(Settings):
    """AdamW; the rate rises over a share of the training and falls as a cosine to the end.

    With `half_life_steps` it falls by half over so many steps instead, whatever the end is.
    """

    learning_rate: float = Field(2e-5, gt=0)
    final_learning_rate: float = Field(2e-6, ge=0)
    half_life_steps: int | None = Field(None, ge=1)  # instead of the cosine
    warm_up: float = Field(0.01, ge=0, le=1)  # share of the training's units
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.1, ge=0)  # of matrices alone: no norms, no biases
    largest_gradient: float = Field(1.0, gt=0)  # norm over all parameters; inf: not clipped


class CheckpointSettings(Settings):
    """When a state to resume from is written, and which are kept."""

    minutes: float = Field(10.0, gt=0)  # between them
    steps: int | None = Field(None, ge=1)  # between them, instead of minutes
    keep: int = Field(2, ge=1)  # newest ones
    keep_every: int | None = Field(None, ge=1)  # besides: one each so many steps, for good


class EvaluationSettings(Settings):
    """Held-out data, looked at now and then."""

    steps: int | None = Field(None, ge=1)  # between two; None: once, at the end
    batches: int = Field(8, ge=0)  # micro-batches, at most; 0: none
    examples: int = Field(4, ge=0)  # decoded samples

    @property
    def wanted(self) -> bool:
        return bool(self.batches or self.examples)


class LoopSettings(Settings):
    """How the training goes; nothing of the network or the data."""

    seed: int = Field(0, ge=0)
    micro_batches: int = Field(1, ge=1)  # in a step, on all workers together
    precision: Literal["float32", "bfloat16"] = "float32"  # weights stay in float32
    shard: bool = False  # FSDP2: parameters are divided up among the workers
    recompute: bool = False  # activations in the backward pass: slower, with less memory
    threads: int = Field(1, ge=1)  # of torch on a CPU; others add up in another order
    log_steps: int = Field(10, ge=1)  # between lines of metrics
    stop_after_steps: int | None = Field(None, ge=1)  # for trials: ends early, as if killed
    optimizer: OptimizerSettings = OptimizerSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def identity(self) -> dict[str, Any]:
        """Return the fields that the weights depend on, as JSON."""
        free = {"log_steps", "stop_after_steps", "checkpoint", "evaluation", "recompute", "shard"}
        return self.model_dump(mode="json", exclude=free)


class TrainingRecipe(Settings):
    """What all recipes have."""

    loop: LoopSettings = LoopSettings()

    def identity(self) -> dict[str, Any]:
        """Return the fields that the weights depend on, as JSON."""
        return self.model_dump(mode="json", exclude={"loop"}) | {"loop": self.loop.identity()}
