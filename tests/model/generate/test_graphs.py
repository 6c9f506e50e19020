"""A CUDA graph cannot be recorded here, but what one repeats can: the calls, with their values.

`Recorder` notes every operation of a step with its arguments as they are, numbers included, and
repeats just those, as a GPU would.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from wavemill.model.generate import generate as module
from wavemill.model.generate.generate import GenerateSettings, LlmPrompt, Sampling, generate
from wavemill.model.generate.graphs import DecodingStep, RecordedStep
from wavemill.model.llm.cache import KeyValueCache
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm, LlmOutput
from wavemill.model.prompt.layout import Reply

# What asks the GPU for a value, or sends it one, cannot be recorded.
SYNCHRONOUS = {
    "aten::item",
    "aten::is_nonzero",
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::lift_fresh",
}


class Recorder(TorchDispatchMode):
    """Notes what is computed; `replay` computes it again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.name().split(".")[0] in SYNCHRONOUS:
            raise RuntimeError(f"{func} waits for the device")
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self, output: LlmOutput) -> LlmOutput:
        made: dict[int, Tensor] = {}

        def now(value: Any) -> Any:
            return made.get(id(value), value) if isinstance(value, Tensor) else value

        for func, args, kwargs, result in self.calls:
            again = func(*tree_map(now, args), **tree_map(now, kwargs))
            made |= {id(a): b for a, b in zip(tree_leaves(result), tree_leaves(again), strict=True)}
        return LlmOutput(now(output.audio_logits), now(output.text_logits))


def record(run: Callable[[], LlmOutput], undo: Callable[[], None]) -> Callable[[], LlmOutput]:
    undo()  # may be called at any time
    with Recorder() as recorder:
        output = run()
    return lambda: recorder.replay(output)


@pytest.fixture(scope="module")
def network() -> AudioLlm:
    torch.manual_seed(1)
    return AudioLlm(preset("tiny")).eval()


def prompts() -> list[LlmPrompt]:
    generator = torch.Generator().manual_seed(2)
    blank = preset("tiny").text_vocab + 23
    return [
        LlmPrompt(
            torch.full((length,), blank),
            torch.randint(256, (length,), generator=generator),
            torch.zeros(length, dtype=torch.bool),
        )
        for length in (7, 3, 12)
    ]


SETTINGS = GenerateSettings(
    reply=Reply.BOTH,
    max_new_tokens=14,
    static_cache=True,
    audio=Sampling(temperature=0.8, top_k=10, repetition_penalty=1.3, repetition_window=4),
)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_recorded_step_does_what_a_step_does(
    network: AudioLlm, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    wanted = generate(network, prompts()[:rows], SETTINGS)
    forward, calls = network.forward, []
    monkeypatch.setattr(network, "forward", lambda *a, **k: (calls.append(1), forward(*a, **k))[1])
    with_record(monkeypatch, record)
    assert generate(network, prompts()[:rows], SETTINGS) == wanted
    assert len(calls) == 2  # the prompt, and the step that was recorded


def test_what_cannot_be_recorded_runs_as_it_is(
    network: AudioLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = generate(network, prompts(), SETTINGS)
    attend = AudioLlm._attention

    def waits(self: AudioLlm, hidden: Tensor, *others: Any) -> dict[str, Any]:
        assert float(hidden.abs().sum()) > 0
        return attend(self, hidden, *others)

    monkeypatch.setattr(AudioLlm, "_attention", waits)
    with_record(monkeypatch, record)
    with pytest.warns(UserWarning, match="not recorded as a CUDA graph: .*waits for the device"):
        assert generate(network, prompts(), SETTINGS) == wanted


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_cuda_graph_does_what_steps_do(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    network = AudioLlm(preset("tiny")).eval().cuda()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = generate(network, prompts(), SETTINGS)
    monkeypatch.setattr(module, "decoding_step", lambda n, c, m: partial(step, n, c, m))
    assert generate(network, prompts(), SETTINGS) == found


def step(
    network: AudioLlm,
    cache: KeyValueCache,
    mask: Tensor | None,
    audio_ids: Tensor,
    text_ids: Tensor,
    positions: Tensor,
) -> LlmOutput:
    return network(audio_ids, text_ids, attention_mask=mask, position_ids=positions, cache=cache)


def with_record(monkeypatch: pytest.MonkeyPatch, record: Any) -> None:
    build = module.decoding_step

    def recorded(
        network: AudioLlm, cache: KeyValueCache, attention_mask: Tensor | None
    ) -> DecodingStep:
        return RecordedStep(build(network, cache, attention_mask), cache, record)

    monkeypatch.setattr(module, "decoding_step", recorded)
