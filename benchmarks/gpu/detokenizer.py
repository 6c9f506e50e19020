"""Part (b): the detokenizer's real-time factor by precision and number of streams."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.gpu.rows import Row, Setting
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.solver import integrate

TOKENS_A_SECOND = 12.5
PRECISIONS = {"fp32": torch.float32, "TF32": torch.float32, "bf16": torch.bfloat16}


@torch.inference_mode()
def rows(setting: Setting) -> Iterator[Row]:
    config = DetokenizerConfig.preset(setting.preset)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        for name, dtype in PRECISIONS.items():
            allowed = name != "fp32"
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
            with torch.device(setting.device):
                made = Detokenizer.from_config(config, setting.stream)
            for network in (made.flow, made.vocoder):
                network.to(dtype)
            yield Row(f"one utterance, {name}", alone(made, setting), "s/s", "0.05 or less")
            for batch in (1,) if setting.quick else (1, 8):
                yield Row(
                    f"a chunk of {batch} stream(s) together, {name}",
                    together(made, batch, setting), "s of work per s of audio",
                )  # fmt: skip
            if setting.quick:
                return
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def alone(made: Detokenizer, setting: Setting) -> float:
    """Return seconds of work per second of audio of one utterance, chunk by chunk."""
    count = setting.of(125, 4)
    tokens = torch.randint(made.config.flow.semantic_vocab_size, (count,))

    def decode() -> None:
        made.decode(tokens, torch.Generator().manual_seed(0))

    return setting.seconds(decode, setting.of(2, 1)) / (count / TOKENS_A_SECOND)


def together(made: Detokenizer, batch: int, setting: Setting) -> float:
    """Return seconds of work per second of audio of equally long chunks, without a history."""
    settings, solver = made.settings, made._solver()
    count = settings.chunk_tokens + settings.look_ahead_tokens
    frames = count * settings.frames_per_token
    like = made.flow.input_linear.weight
    tokens = torch.randint(
        made.config.flow.semantic_vocab_size, (batch, frames), device=setting.device
    )
    places = History.empty(made.flow).upcoming(frames).expand(batch, -1)
    noise = torch.randn(batch, frames, made.config.flow.input_size, device=setting.device)

    def velocity(x: torch.Tensor, time: int) -> torch.Tensor:
        times = torch.full((batch,), time, device=setting.device)
        return made.flow(x.to(like.dtype), tokens, times, places)[0].float()

    def chunk() -> None:
        made.vocoder(integrate(velocity, noise, solver.path))

    seconds = setting.seconds(chunk, setting.of(3, 1))
    return seconds / (batch * settings.chunk_tokens / TOKENS_A_SECOND)
