"""Prefill, then step by step: replies to prompts, streamed or whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from wavemill.model.generate.graphs import decoding_step
from wavemill.model.generate.streams import GenerateSettings, Step, Streams, budget
from wavemill.model.llm.batch import Sample, collate
from wavemill.model.llm.cache import KeyValueCache
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.vocabulary import Vocabulary


@dataclass
class Result:
    """A reply: ids of the text tokenizer, and semantic codes (12.5 a second, counted from 0)."""

    text: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    complete: bool = False  # it ended by itself, not at a limit

    def add(self, step: Step) -> None:
        if step.text is not None:
            self.text.append(step.text)
        if step.code is not None:
            self.codes.append(step.code)
        self.complete = step.stopped


def generate(
    network: AudioLlm, prompts: Sequence[Sample], settings: GenerateSettings | None = None
) -> list[Result]:
    """Return the reply to each prompt; all are decoded together.

    Taking the best tokens, a reply is the same whatever it is batched with. Raises NoRoom when a
    prompt is too long.
    """
    results = [Result() for _ in prompts]
    for steps in decode(network, prompts, settings):
        for result, step in zip(results, steps, strict=True):
            if step is not None:
                result.add(step)
    return results


def stream(
    network: AudioLlm, prompt: Sample, settings: GenerateSettings | None = None
) -> Iterator[Step]:
    """Yield what each step adds to the reply to one prompt, as it comes; raises NoRoom."""
    for (step,) in decode(network, [prompt], settings):
        assert step is not None
        yield step


@torch.inference_mode()
def decode(
    network: AudioLlm, prompts: Sequence[Sample], settings: GenerateSettings | None = None
) -> Iterator[list[Step | None]]:
    """Yield, step by step, what was added to each prompt's reply; None once it has ended.

    Features go in with the prompt; later steps read ids alone. Prompts are padded on the left,
    and positions count from each row's first real token.
    """
    settings, config = settings or GenerateSettings(), network.config
    vocabulary = Vocabulary(config.text_vocab, config.audio_offset)
    limits = [
        budget(len(prompt.audio_ids), settings, config.max_position_embeddings)
        for prompt in prompts
    ]
    device = next(network.parameters()).device
    batch = collate(prompts, vocabulary.pad, left=True).to(device)
    steps, length = max(limits), batch.audio_ids.shape[1]
    cache = KeyValueCache(length + steps - 1 if settings.static_cache else None)
    streams = Streams(settings, vocabulary, config.audio_delay, limits, device)
    output = network(
        batch.audio_ids,
        batch.text_ids,
        features=batch.features,
        continuous=batch.continuous,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        cache=cache,
        last_only=True,
    )
    positions = batch.position_ids[:, -1:]
    step = decoding_step(network, cache, batch.attention_mask)
    while True:
        yield streams.choose(output)
        if all(streams.done):
            return
        positions = positions + 1
        output = step(streams.audio[:, None], streams.text[:, None], positions)
