"""Recipes: how a training steps, how long, and what it keeps; those that ship are in `recipes`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavemill.model.data.augment import AugmentSettings
from wavemill.model.data.documents import WEIGHTS, Task
from wavemill.model.data.mixture import DataSet


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerSettings(Settings):
    """AdamW; the rate rises over a share of the training, then falls as a cosine to its end.

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
    """When checkpoints are written, and which are kept."""

    minutes: float = Field(10.0, gt=0)  # between them
    steps: int | None = Field(None, ge=1)  # between them, instead of minutes
    keep: int = Field(2, ge=1)  # newest ones
    keep_every: int | None = Field(None, ge=1)  # besides: one each so many steps, for good


class EvaluationSettings(Settings):
    """How often and on how much held-out data the model is evaluated."""

    steps: int | None = Field(None, ge=1)  # between two; None: once, at the end
    batches: int = Field(8, ge=0)  # micro-batches, at most; 0: none
    examples: int = Field(4, ge=0)  # decoded samples

    @property
    def wanted(self) -> bool:
        return bool(self.batches or self.examples)


class LoopSettings(Settings):
    """Everything about the training that is not about the network or the data."""

    seed: int = Field(0, ge=0)
    micro_batches: int = Field(1, ge=1)  # in a step, on all workers together
    precision: Literal["float32", "bfloat16"] = "float32"  # of products
    shard: bool = False  # FSDP2: the parameters are divided among the workers
    # Of weights, gradients and moments. bfloat16 takes half the memory; updates are then rounded at
    # random, so that small ones are not lost. The moments of float32 weights stay float32.
    weights: Literal["float32", "bfloat16"] = "float32"
    recompute: bool = False  # activations in the backward pass: slower, but less memory
    compile: bool = False  # torch.compile of the layers: a slow start, then faster steps on a GPU
    threads: int = Field(1, ge=1)  # of torch on a CPU; another number sums in another order
    log_steps: int = Field(10, ge=1)  # between lines of metrics
    stop_after_steps: int | None = Field(None, ge=1)  # for tests: ends early, without checkpoint
    optimizer: OptimizerSettings = OptimizerSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def identity(self) -> dict[str, Any]:
        """Return the fields that the weights depend on, as JSON."""
        free = {
            "log_steps", "stop_after_steps", "checkpoint", "evaluation", "recompute", "compile",
            "shard",
        }  # fmt: skip
        return without_unused(self, self.model_dump(mode="json", exclude=free), "weights")


def without_unused(model: BaseModel, found: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an identity without the named fields that have their default.

    They were added later: runs of before, whose identity lacks them, can still be resumed.
    """
    fields = type(model).model_fields
    unused = {name for name in names if getattr(model, name) == fields[name].default}
    return {name: value for name, value in found.items() if name not in unused}


class TrainingRecipe(Settings):
    """The fields that all recipes have."""

    loop: LoopSettings = LoopSettings()

    def identity(self) -> dict[str, Any]:
        """Return the fields that the weights depend on, as JSON."""
        return self.model_dump(mode="json", exclude={"loop"}) | {"loop": self.loop.identity()}


RECIPES = Path(__file__).parent / "recipes"
PRESETS = ("tiny", "small", "paper")


class NetworkSettings(Settings):
    """The network that is built without --init."""

    preset: Literal["tiny", "small", "published"] = "tiny"
    llm: dict[str, Any] = Field(default_factory=dict)  # fields that differ from the preset
    acoustic: dict[str, Any] = Field(default_factory=dict)  # likewise, of the acoustic encoder


class DataSettings(Settings):
    """How the corpus becomes micro-batches."""

    positions: int = Field(2048, ge=16)  # of a micro-batch, and so of the longest sequence
    # The files are divided into so many streams, and micro-batches come from one stream after the
    # other. Ranks read least if it is a multiple of the number of workers; it must not change while
    # a training runs.
    streams: int = Field(1, ge=1)
    window_mb: float = Field(64.0, gt=0)  # of stored audio and text that are shuffled together
    # The most memory that the windows of all workers together take: each stream holds two, and they
    # are smaller if need be. A worker of n holds an n-th of it. null: no bound.
    memory_gb: float | None = Field(None, gt=0)
    workers: int = Field(0, ge=0)  # processes of each rank that decode sound; 0: a thread does
    held_out_split: str = "validation"  # evaluated, never learnt

    @property
    def window_bytes(self) -> int:
        """Return the size of a window, within the bound of all of them."""
        wanted = int(self.window_mb * (1 << 20))
        if self.memory_gb is None:
            return wanted
        return max(1, min(wanted, int(self.memory_gb * (1 << 30) / (2 * self.streams))))

    def identity(self) -> dict[str, Any]:
        """Return the fields that the order of the data depends on, as JSON."""
        found = self.model_dump(mode="json", exclude={"workers"})
        return without_unused(self, found, "memory_gb")


class LoraSettings(Settings):
    """Low-rank additions to the matrices of all layers and both heads; nothing else is learnt."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)  # the additions are multiplied by alpha / rank


class LlmRecipe(TrainingRecipe):
    """Pre-training or fine-tuning of the audio LLM."""

    network: NetworkSettings = NetworkSettings()
    data: DataSettings = DataSettings()
    tokens: int | None = Field(None, ge=1)  # positions to learn; null: `epochs` of the corpus
    epochs: float = Field(1.0, gt=0)
    frozen_acoustic: float = Field(0.0, ge=0, le=1)  # share of the training with a frozen encoder
    # Memory for features of sounds, in MB, while the encoder is frozen: each sound is then encoded
    # once, unless augmentation makes another one of it. 0: none are kept.
    keep_features_mb: float = Field(0.0, ge=0)
    # Low-rank additions are learnt alone, beside weights in `loop.weights`; the exported model has
    # both in one. For trainings with --init.
    lora: LoraSettings | None = None

    @model_validator(mode="after")
    def _fits_one_worker(self) -> Self:
        if self.lora is not None and self.loop.shard:
            raise ValueError("lora: its weights are not sharded; remedy: loop.shard=false")
        return self

    def identity(self) -> dict[str, Any]:
        found = super().identity() | {"data": self.data.identity()}
        del found["keep_features_mb"]  # it decides nothing but the time
        return without_unused(self, found, "lora")


class PretrainRecipe(LlmRecipe):
    """Report section 4.1."""

    weights: dict[Task, float] = Field(default_factory=lambda: dict(WEIGHTS))  # shares of tokens


class SftRecipe(LlmRecipe):
    """Report section 4.2."""

    # Data sets with epochs of their own (the report: 2 to 4), or all with weights. With epochs, the
    # other rows have `epochs`; with weights they are left out, and `epochs` of all are shared out.
    datasets: tuple[DataSet, ...] = ()
    augment: AugmentSettings | None = None
    # Share of the codes of what is heard that are left blank, others in each epoch: a small corpus
    # is otherwise learnt by heart by its codes, which other voices do not have.
    hidden_codes: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        names = [one.name for one in self.datasets]
        if len({one.weight is None for one in self.datasets}) > 1 or len(names) > len(set(names)):
            raise ValueError("data sets: each has its own name, and all have epochs or all weights")
        return self

    def identity(self) -> dict[str, Any]:
        return without_unused(self, super().identity(), "datasets", "hidden_codes")


def shipped(training: str, name: str) -> dict[str, Any]:
    """Return the content of a recipe that ships; raises ValueError for an unknown name."""
    path = RECIPES / training / f"{name}.yaml"
    if name not in PRESETS or not path.is_file():
        raise ValueError(f"no recipe {name!r}; there are {', '.join(PRESETS)}")
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
