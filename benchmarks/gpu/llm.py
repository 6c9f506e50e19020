"""Part (a): decoding and prefill of the LLM, its CUDA graphs, and the first audio of a reply."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.generate import REPLY_STEPS, bandwidth, built, linear_layers, prompt, spoken, timed
from benchmarks.gpu.rows import Row, Setting
from wavemill.model.engine import Engine
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Reply

BATCHES = (1, 8, 32)
LONG_PROMPT = 4096  # positions


def rows(setting: Setting) -> Iterator[Row]:
    device = setting.device.type
    network = built(preset(setting.preset), device)
    rate = bandwidth(device)
    yield Row("copy bandwidth", rate / 1e9, "GB/s")
    for reply in (Reply.TEXT, Reply.BOTH):
        limit = rate / sum(layer.weight.nbytes for layer in linear_layers(network, reply))
        for batch in BATCHES if setting.cuda else BATCHES[:1]:
            _, step = timed(network, reply, batch, device, setting.of(48, 2))
            yield Row(f"decode, {reply}, batch {batch}", batch / step, "tokens/s")
            aim = "60 % or more" if batch == 1 else ""
            yield Row(f"decode, {reply}, batch {batch}: of bandwidth", 100 / step / limit, "%", aim)
    yield Row("prefill of one prompt", prefill(network, setting), "tokens/s")
    yield from graphs(network)
    first, thought, speed = spoken(
        setting.preset, network, device, setting.of(REPLY_STEPS, 12), setting.stream
    )
    yield Row("first audio, prompt laid out", 1000 * first, "ms", "below 400 ms")
    yield Row("first audio: of it the LLM", 1000 * thought, "ms")
    yield Row("spoken reply: audio by work", speed, "s/s", "above 1")


def prefill(network: AudioLlm, setting: Setting) -> float:
    """Return positions a second of one long prompt."""
    count = setting.of(min(LONG_PROMPT, network.config.max_position_embeddings // 2), 128)
    ids = torch.randint(0, network.config.text_vocab, (count,))
    blank = torch.full_like(ids, network.config.text_vocab)
    asked = LlmPrompt(blank, ids, torch.zeros(count, dtype=torch.bool), [])

    def read() -> None:
        engine = Engine(network)
        engine.add(asked, GenerateSettings(max_new_tokens=1))
        engine.step()

    return count / setting.seconds(read)


def graphs(network: AudioLlm) -> Iterator[Row]:
    """Yield how often steps are recorded while conversations of two rounds come and go."""
    engine, recorded = Engine(network), [0]
    if engine._graphs is None:
        return
    record = engine._graphs._record

    def counted(run):
        recorded[0] += 1
        return record(run)

    engine._graphs._record = counted
    for name, aim in (("first", "few"), ("second", "0")):
        recorded[0] = 0
        settings = [GenerateSettings(max_new_tokens=n) for n in (12, 12, 8, 4)]
        engine.replies([prompt(network.config, n) for n in range(4)], settings)
        yield Row(f"step graphs recorded, {name} round of four replies", recorded[0], "", aim)
