"""What is trained: a learner gives the loop its networks, its losses and its schedule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

MAIN = "main"  # the only optimizer of a learner that has just one


class MicroBatch(Protocol):
    """One micro-batch. A frozen dataclass satisfies it."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its segments, samples or recordings, for messages."""
        ...

    @property
    def units(self) -> int:
        """The amount of data, for schedules: tokens (LLM) or milliseconds of audio (others)."""
        ...

    def to(self, device: torch.device) -> Self: ...


B = TypeVar("B", bound=MicroBatch)


@dataclass(frozen=True)
class Progress:
    """How far the training is when a step begins; the same on every rank."""

    step: int  # optimizer steps done
    units: int  # tokens or milliseconds trained on so far
    total_units: int  # of the whole training; schedules go by units / total_units
    # Sums of `Learner.counts` over the micro-batches of this step, of all ranks.
    counts: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """Return how much of the training is done, 0 to 1."""
        return min(1.0, self.units / max(1, self.total_units))


@dataclass(frozen=True)
class Loss:
    """The loss of a micro-batch, in a form that adds up over micro-batches and ranks.

    The gradient of a step is that of sum(total) / sum(weight) over its micro-batches and ranks:
    the same however the step is divided. A loss that adds several means, each over its own count
    (text and audio positions, say), divides by `Progress.counts` itself and has `weight` None.
    """

    total: Tensor  # scalar, differentiable: a sum
    weight: Tensor | float | None  # how many terms are in it
    # Detached scalars to log, by name ("asr/text", "codebook/perplexity"): the mean over the
    # micro-batches and ranks that have the name, weighted if the value is a pair.
    parts: Mapping[str, Tensor | tuple[Tensor, Tensor]]  # value, or (sum, how many)


@dataclass(frozen=True)
class Example:
    """What the model generates for a held-out item, for a person to look at."""

    name: str
    reference: str = ""
    answer: str = ""
    audio: Tensor | None = None  # float32 (samples,) at `sample_rate`
    sample_rate: int = 16_000


class Learner(ABC, Generic[B]):
    """One thing to train: its networks, which optimizer updates what, and the loss of a batch."""

    held_out: Any = None  # held-out items for `examples`; the loop sets what `Job.data` has chosen

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks by name: they are in the checkpoint, with all their buffers.

        The loop moves them to the device and, for a learner that has `shardable` groups, shards
        them. Names and parameters must not change during the training.
        """

    @abstractmethod
    def optimized(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return parameters by optimizer; a step runs the optimizers in this order.

        One entry MAIN, unless networks learn against each other ("discriminator", "generator").
        """

    @abstractmethod
    def loss(self, optimizer: str, batch: B, progress: Progress) -> Loss:
        """Return the loss of a micro-batch for one of the optimizers; gradients flow from it.

        torch's generators are seeded anew for each micro-batch, from the seed and the micro-batch's
        number in the whole training, so that what is drawn here does not depend on the workers.
        """

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the networks in their published layout. Called on rank 0, with whole tensors."""

    def learns(self, optimizer: str, progress: Progress) -> bool:
        """Return whether an optimizer updates its weights in a step; if not, its state stays."""
        del optimizer, progress
        return True

    def counts(self, batch: B) -> Mapping[str, float]:
        """Return what the losses of the batch will be divided by; see `Loss`."""
        del batch
        return {}

    def prepare(self, progress: Progress) -> None:
        """Prepare a step: freeze or unfreeze parts by progress, for example."""
        del progress

    def after_step(self, progress: Progress) -> None:
        """Finish a step: update moving averages of a codebook, replace dead codes.

        Called on every rank, after all optimizers; sums over ranks are taken here.
        """
        del progress

    def shardable(self) -> Sequence[Sequence[nn.Module]]:
        """Return the groups of modules that FSDP2 gathers one at a time, inner ones first.

        Each rank must call them equally often, and in the same order.
        """
        return ()

    def layers(self) -> Sequence[nn.Module]:
        """Return the layers that are recomputed and compiled where the recipe says so."""
        return ()

    def halve(self, module: nn.Module) -> None:
        """Bring a network to bfloat16; what must stay float32 stays so."""
        module.to(torch.bfloat16)

    @property
    def is_empty(self) -> bool:
        """Whether the networks are on the meta device, until `fill` gives them weights."""
        return False

    def fill(self) -> None:
        """Give networks that were empty their first weights, once they are sharded."""

    def flops(self, batch: B) -> float:
        """Return the floating-point operations of forward and backward; 0: not known."""
        del batch
        return 0.0

    def examples(self, limit: int) -> Iterator[Example]:
        """Yield up to `limit` decoded samples of `held_out`, in evaluation mode."""
        del limit
        return iter(())
