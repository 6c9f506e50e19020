"""How fast the audio LLM reads and speaks, against what the machine's memory allows.

    python -m benchmarks.generate [--presets tiny small] [--threads 1] [--steps 32]

Random weights, float32 on a CPU, bfloat16 on a GPU; on a GPU with enough memory the published 7B
is built there as well. A step reads every weight of the layers and heads that its replies need
once, so `bandwidth / bytes` steps a second is the limit, whatever the batch; the bandwidth is that
of copying a tensor too large for the caches, in the same run. "Outside products" is the share of a
step that is not spent on products with weights: these are timed by themselves. Beside it stands
`generate` of the package `transformers`, on a Qwen2 of the main stack and head, which is what a
text reply computes. Times on a CPU are CPU times, and all are of the fastest of the steps. First
audio is the time from a prompt that is laid out to the first samples: prefill, steps, and the
detokenizer of the same preset. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor

from wavemill.model import blocks
from wavemill.model.detokenizer.config import DetokenizerConfig, StreamSettings
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.engine import Engine
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings, Sampling
from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Reply

PROMPT_TOKENS = 64
BATCHES = (1, 2, 4, 8, 16, 32, 64)
PUBLISHED_BYTES = 40e9  # the 7B with its audio branch, caches, the detokenizer in float32
REPLY_STEPS = 81  # 75 codes, 6 s of speech, behind the delay


class Clock:
    """Seconds of CPU time, or of wall time once the GPU has finished."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.seconds = 0.0

    def now(self) -> float:
        if self._device != "cuda":
            return time.process_time()
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
    print(
        "| model | reply | batch | prefill tokens/s | tokens/s | of batch 1, times | of limit "
        "| outside products | `transformers` tokens/s |"
    )
    print("|---" * 9 + "|")
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
    """Return bytes per second that a copy reads and writes together, best of five."""
    numbers = 1 << 30 if device == "cuda" else 64 << 20  # 4 GB, 256 MB
    block = torch.ones(numbers, dtype=torch.float32, device=device)
    copy = torch.empty_like(block)
    clock, best = Clock(device), float("inf")
    for _ in range(5):
        with clock.running():
            copy.copy_(block)
        best = min(best, clock.seconds)
    return 2 * block.nbytes / best


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
    """Print one row per kind of reply and batch size."""
    for reply in (Reply.TEXT, Reply.BOTH):
        linear = linear_layers(network, reply)
        limit = rate / sum(layer.weight.nbytes for layer in linear)
        first = 0.0
        for batch in BATCHES:
            prefill, step = timed(network, reply, batch, device, steps)
            first = first or step
            matrix = matrix_seconds(linear, batch, device, steps)
            other = ""
            if reply is Reply.TEXT:
                other = f"{batch / transformers_step(network, batch, device, steps):,.1f}"
            print(
                f"| {name} | {reply} | {batch} | {batch * PROMPT_TOKENS / prefill:,.0f} "
                f"| {batch / step:,.1f} | {batch * first / step:.1f} | {1 / step / limit:.0%} "
                f"| {max(0.0, 1 - matrix / step):.0%} | {other} |",
                flush=True,
            )


def linear_layers(network: AudioLlm, reply: Reply) -> list[torch.nn.Linear]:
    """Return the layers that a step of a reply multiplies with, in order."""
    model = network.model
    parts: list[torch.nn.Module] = [model.layers, network.lm_head]
    if reply is Reply.BOTH:
        parts += [model.mimo_layers, network.mimo_output]
    return [m for part in parts for m in part.modules() if isinstance(m, torch.nn.Linear)]


@torch.inference_mode()
def matrix_seconds(layers: list[torch.nn.Linear], batch: int, device: str, steps: int) -> float:
    """Return the seconds of a step's products with weights, and of nothing else."""
    given = {
        layer.in_features: layer.weight.new_ones(1, batch, layer.in_features) for layer in layers
    }
    clock, best = Clock(device), float("inf")
    for _ in range(steps):
        with clock.running():
            for layer in layers:
                layer(given[layer.in_features])
        best = min(best, clock.seconds)
    return best


def prompt(config: LlmConfig, seed: int) -> LlmPrompt:
    """Return a prompt of random text, without sound."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, config.text_vocab, (PROMPT_TOKENS,), generator=generator)
    blank = torch.full_like(text, config.text_vocab)
    return LlmPrompt(blank, text, torch.zeros(PROMPT_TOKENS, dtype=torch.bool), [])


def timed(
    network: AudioLlm, reply: Reply, batch: int, device: str, steps: int
) -> tuple[float, float]:
    """Return the seconds of the prefill, and of the fastest step after it."""
    # No text ends, and no id ends a reply.
    settings = GenerateSettings(reply=reply, max_new_tokens=steps + 1)
    engine, clock, best = Engine(network), Clock(device), float("inf")
    for seed in range(batch):
        engine.add(prompt(network.config, seed), settings)
    with clock.running():
        engine.step()
    prefill = clock.seconds
    while engine.busy:
        with clock.running():
            pieces = engine.step()
        if len(pieces) == batch:
            best = min(best, clock.seconds)
    return prefill, best


def transformers_step(network: AudioLlm, batch: int, device: str, steps: int) -> float:
    """Return the seconds of the fastest step of `generate` with the same main stack and head."""
    blocks.prepare_transformers()
    from transformers import Qwen2Config, Qwen2ForCausalLM, StoppingCriteriaList

    config, clock = network.config, Clock(device)
    with torch.device(device):
        other = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=config.vocab_size, hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                max_position_embeddings=config.max_position_embeddings,
            )
        ).to(network.lm_head.weight.dtype).eval()  # fmt: skip
    times: list[float] = []

    def note(ids: Tensor, _scores: Tensor, **_: object) -> Tensor:
        times.append(clock.now())
        return torch.zeros(len(ids), dtype=torch.bool, device=device)  # nothing stops

    ids = torch.randint(0, config.text_vocab, (batch, PROMPT_TOKENS), device=device)
    other.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps + 1, do_sample=False,
        eos_token_id=None, pad_token_id=0, stopping_criteria=StoppingCriteriaList([note]),
    )  # fmt: skip
    return min(after - before for before, after in pairwise(times))


def speak(name: str, network: AudioLlm, device: str) -> str:
    """Return a row: how long the first samples of a reply take, and how fast all come."""
    first, first_thought, speed = spoken(name, network, device)
    return f"| {name} | {first:.2f} | {first_thought:.2f} | {speed:.1f} |"


def spoken(
    name: str,
    network: AudioLlm,
    device: str,
    steps: int = REPLY_STEPS,
    stream: StreamSettings | None = None,
) -> tuple[float, float, float]:
    """Return seconds to the first samples, of them those of the LLM, and seconds a second.

    The reply is the second one of its engine. The weights of the audio head are changed.
    """
    network.mimo_output.weight.data[: network.config.audio_offset] = 0  # only codes: it never ends
    with torch.device(device):
        detokenizer = Detokenizer.from_config(DetokenizerConfig.preset(name), stream)
    settings = GenerateSettings(
        reply=Reply.BOTH,
        max_new_tokens=steps,
        audio=Sampling(temperature=0.8, top_k=10),
    )
    asked, engine = prompt(network.config, 0), Engine(network)
    for _, _ in zip(range(2), engine.stream(asked, settings), strict=False):
        pass  # warms up: a prompt and a step
    detokenizer.decode([0] * 2, torch.Generator().manual_seed(0))
    voice = detokenizer.stream(torch.Generator().manual_seed(0))
    clock, first, first_thought, samples, thought = Clock(device), 0.0, 0.0, 0, 0.0
    started = clock.now()
    reply = engine.stream(asked, settings)
    while True:
        with clock.running():
            step = next(reply, None)
        thought += clock.seconds
        codes = [step.code] if step is not None and step.code is not None else []
        samples += len(voice.push(codes, final=step is None))
        if samples and not first:
            first, first_thought = clock.now() - started, thought
        if step is None:
            break
    played = samples / detokenizer.config.vocoder.sampling_rate
    return first, first_thought, played / (clock.now() - started)


if __name__ == "__main__":
    main()
