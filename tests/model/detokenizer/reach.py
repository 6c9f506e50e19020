"""How far a sample of the vocoder's audio can see, from its configuration."""

from __future__ import annotations

from wavemill.model.detokenizer.bigvgan import EDGE_KERNEL
from wavemill.model.detokenizer.config import VocoderConfig

ACTIVATION_REACH = 5  # samples on each side that an activation looks at


def reach(config: VocoderConfig) -> tuple[int, int]:
    """Return how many frames before and after its own an output sample can depend on.

    With (40, 40) for the published configuration; trained weights hardly use the outer ones.
    """
    first, last = 0, config.samples_per_frame - 1  # an output frame's samples, traced back
    first, last = first - EDGE_KERNEL // 2, last + EDGE_KERNEL // 2
    first, last = first - ACTIVATION_REACH, last + ACTIVATION_REACH
    block = max(
        sum(2 * ACTIVATION_REACH + (kernel - 1) // 2 * (dilation + 1) for dilation in dilations)
        for kernel, dilations in zip(
            config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
        )
    )
    stages = zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    for rate, kernel in reversed(list(stages)):
        padding = (kernel - rate) // 2
        first = -((kernel - 1 - padding - first + block) // rate)
        last = (last + block + padding) // rate
    return EDGE_KERNEL // 2 - first, last + EDGE_KERNEL // 2
