"""How fast the audio LLM reads and speaks, against what the machine's memory allows.

    python -m benchmarks.generate [--presets tiny small] [--threads 1] [--steps 32]

Random weights. A decoding step reads every weight once, so `bandwidth / bytes of the weights` steps
a second is the limit at batch 1; the bandwidth is measured in the same run, by summing a tensor
too large for the caches. On a GPU with enough memory the published 7B is built there in bfloat16 as
well. First audio is the time from a prompt's end to the first samples, through the detokenizer of
the same preset. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch

from model.detokenizer.config import DetokenizerConfig
from model.detokenizer.detokenizer import Detokenizer
from model.generate.generate import decode
from model.generate.streams import GenerateSettings
from model.llm.batch import Sample
from model.llm.config import LlmConfig, preset
from model.llm.network import AudioLlm
from model.prompt.layout import Reply

PROMPT_TOKENS = 256
BATCHES = (1, 16)
PUBLISHED_BYTES = 24e9  # what the 7B, its audio branch and a cache take in bfloat16
CODES_PER_SECOND = 12.5


class Clock:
    """Seconds of wall time, once the device has finished."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.seconds = 0.0

    def now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        started = self.now()
        yield
        self.seconds = self.now() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--presets", nargs="+", default=["tiny", "small"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rate = bandwidth(device)
    print(f"{device}, {options.threads} thread(s), {rate / 1e9:.1f} GB/s\n")
    print("| model | batch | cache | prefill tokens/s | decode steps/s | tokens/s | of limit |")
    print("|---|---|---|---|---|---|---|")
    for name in options.presets:
        measure(name, AudioLlm(preset(name)).eval().to(device), device, rate, options.steps)
    if device == "cuda" and torch.cuda.mem_get_info()[0] > PUBLISHED_BYTES:
        measure("published", published(), device, rate, options.steps)
    else:
        print("\npublished (7B): skipped, there is no GPU with 24 GB free")
    print("\n| detokenizer | first audio, s | audio per second of work, s |")
    print("|---|---|---|")
    for name in options.presets:
        speak(name, device)


def bandwidth(device: str) -> float:
    """Return bytes per second of reading memory, best of five."""
    block = torch.ones(64 << 20, dtype=torch.float32, device=device)
    clock, best = Clock(device), float("inf")
    for _ in range(5):
        with clock.running():
            block.sum()
        best = min(best, clock.seconds)
    return block.nbytes / best


def published() -> AudioLlm:
    """Build the 7B with random weights straight on the GPU."""
    with torch.device("meta"):
        network = AudioLlm(preset("published")).to(torch.bfloat16)
    network = network.to_empty(device="cuda").eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return network


def measure(name: str, network: AudioLlm, device: str, rate: float, steps: int) -> None:
    """Print one row per batch size and cache."""
    weights = sum(p.nbytes for p in network.parameters()) - network_embeddings(network)
    for batch in BATCHES:
        for static in (False, True):
            settings = GenerateSettings(
                reply=Reply.BOTH, static_cache=static, max_new_tokens=steps + 1
            )
            prompts = [prompt(network.config, seed) for seed in range(batch)]
            prefill, step = timed(network, prompts, settings, device)
            limit = rate / weights
            print(
                f"| {name} | {batch} | {'static' if static else 'growing'} "
                f"| {batch * PROMPT_TOKENS / prefill:,.0f} | {1 / step:,.1f} "
                f"| {batch / step:,.1f} | {1 / step / limit:.0%} |",
                flush=True,
            )


def network_embeddings(network: AudioLlm) -> int:
    """Return the bytes of the embedding table, of which a step reads one row."""
    tables = [m for m in network.modules() if isinstance(m, torch.nn.Embedding)]
    return sum(table.weight.nbytes for table in tables)


def prompt(config: LlmConfig, seed: int) -> Sample:
    """Return a prompt of random text, without sound."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, config.text_vocab, (PROMPT_TOKENS,), generator=generator)
    blank = torch.full_like(text, config.text_vocab)
    return Sample(blank, text, torch.zeros(PROMPT_TOKENS, dtype=torch.bool), [])


def timed(
    network: AudioLlm, prompts: list[Sample], settings: GenerateSettings, device: str
) -> tuple[float, float]:
    """Return the seconds of the prefill and of one step after it."""
    clock = Clock(device)
    next(decode(network, prompts, settings))  # warms up
    run = decode(network, prompts, settings)
    with clock.running():
        next(run)
    prefill = clock.seconds
    next(run, None)  # the first step makes room in a growing cache
    taken = 0
    with clock.running():
        for _ in islice(run, settings.max_new_tokens):
            taken += 1
    return prefill, clock.seconds / max(taken, 1)


def speak(name: str, device: str) -> None:
    """Print how long the first samples take, and how fast the rest comes."""
    config = DetokenizerConfig.preset(name)
    detokenizer = Detokenizer.from_config(config)
    stream = detokenizer.stream(torch.Generator().manual_seed(0))
    codes = torch.randint(0, 1000, (75,), generator=torch.Generator().manual_seed(0)).tolist()
    clock = Clock(device)
    started, first = clock.now(), None
    for code in codes:
        audio = stream.push([code])
        if first is None and len(audio):
            first = clock.now() - started
    stream.push([], final=True)
    seconds = clock.now() - started
    print(f"| {name} | {first or seconds:.2f} | {len(codes) / CODES_PER_SECOND / seconds:.1f} |")


if __name__ == "__main__":
    main()
