"""How fast the audio LLM reads and speaks, against what the machine's memory allows.

    python -m benchmarks.generate [--presets tiny small] [--threads 1] [--steps 32]

Random weights, float32 on a CPU, bfloat16 on a GPU; on a GPU with enough memory the published 7B
is built there as well. A decoding step reads every weight once but for the embedding table, so
`bandwidth / bytes` steps a second is the limit, whatever the batch; the bandwidth is measured in
the same run, by summing a tensor too large for the caches. With the static cache, a GPU replays
its steps as a CUDA graph. First audio is the time from a prompt that is laid out to the first
samples: prefill, steps, and the detokenizer of the same preset. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch

from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.generate.generate import GenerateSettings, LlmPrompt, Sampling, decode, stream
from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Reply

PROMPT_TOKENS = 256
BATCHES = (1, 16)
PUBLISHED_BYTES = 40e9  # the 7B with its audio branch, caches, the detokenizer in float32
REPLY_STEPS = 81  # 75 codes, 6 s of speech, behind the delay


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
    presets = options.presets
    skipped = "published (7B): skipped, there is no GPU with 40 GB free"
    if device == "cuda" and torch.cuda.mem_get_info()[0] > PUBLISHED_BYTES:
        presets, skipped = [*presets, "published"], ""
    rate = bandwidth(device)
    print(f"{device}, {options.threads} thread(s), {rate / 1e9:.1f} GB/s\n")
    print("| model | batch | cache | prefill tokens/s | decode steps/s | tokens/s | of limit |")
    print("|---|---|---|---|---|---|---|")
    spoken = []
    for name in presets:
        network = built(preset(name), device)
        measure(name, network, device, rate, options.steps)
        spoken.append(speak(name, network, device))
        del network
    print(f"\n{skipped}\n" if skipped else "")
    print("| whole path | first audio, s | of it LLM, s | audio / work, s/s |")
    print("|---|---|---|---|")
    print("\n".join(spoken))


def bandwidth(device: str) -> float:
    """Return bytes per second of reading memory, best of five."""
    numbers = 1 << 30 if device == "cuda" else 64 << 20  # 4 GB, 256 MB
    block = torch.ones(numbers, dtype=torch.float32, device=device)
    clock, best = Clock(device), float("inf")
    for _ in range(5):
        with clock.running():
            block.sum()
        best = min(best, clock.seconds)
    return block.nbytes / best


def built(config: LlmConfig, device: str) -> AudioLlm:
    """Return a network of random weights, drawn where they stay."""
    with torch.device("meta"):
        network = AudioLlm(config)
    if device == "cuda":
        network = network.to(torch.bfloat16)
    network = network.to_empty(device=device).eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            parameter.data.normal_(std=config.initializer_range)
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


def prompt(config: LlmConfig, seed: int) -> LlmPrompt:
    """Return a prompt of random text, without sound."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, config.text_vocab, (PROMPT_TOKENS,), generator=generator)
    blank = torch.full_like(text, config.text_vocab)
    return LlmPrompt(blank, text, torch.zeros(PROMPT_TOKENS, dtype=torch.bool), [])


def timed(
    network: AudioLlm, prompts: list[LlmPrompt], settings: GenerateSettings, device: str
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


def speak(name: str, network: AudioLlm, device: str) -> str:
    """Return a row: how long the first samples of a reply take, and how fast all come."""
    network.mimo_output.weight.data[: network.config.audio_offset] = 0  # only codes: it never ends
    with torch.device(device):
        detokenizer = Detokenizer.from_config(DetokenizerConfig.preset(name))
    settings = GenerateSettings(
        reply=Reply.BOTH,
        max_new_tokens=REPLY_STEPS,
        static_cache=device == "cuda",
        audio=Sampling(temperature=0.8, top_k=10),
    )
    asked = prompt(network.config, 0)
    next(decode(network, [asked], settings))  # warms up
    detokenizer.decode([0] * 2, torch.Generator().manual_seed(0))
    voice = detokenizer.stream(torch.Generator().manual_seed(0))
    clock, first, samples, thought = Clock(device), 0.0, 0, 0.0
    started = clock.now()
    steps = stream(network, asked, settings)
    while True:
        with clock.running():
            step = next(steps, None)
        thought += clock.seconds
        codes = [step.code] if step is not None and step.code is not None else []
        samples += len(voice.push(codes, final=step is None))
        if samples and not first:
            first, first_thought = clock.now() - started, thought
        if step is None:
            break
    played = samples / detokenizer.config.vocoder.sampling_rate
    work = clock.now() - started
    return f"| {name} | {first:.2f} | {first_thought:.2f} | {played / work:.1f} |"


if __name__ == "__main__":
    main()
