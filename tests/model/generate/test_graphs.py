"""A CUDA graph cannot be recorded here, but what one repeats can: the calls, with their values.

`Recorder` notes every operation of a step with its arguments as they are, numbers included, and
repeats just those, as a GPU would.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from wavemill.model.engine import Engine, GeneratedReply
from wavemill.model.generate.graphs import RecordedSteps
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings, Sampling
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


def record(run: Callable[[], LlmOutput]) -> Callable[[], LlmOutput]:
    run()  # may be called at any time
    with Recorder() as recorder:
        output = run()
    return lambda: recorder.replay(output)


class RecordingEngine(Engine):
    """An engine that treats the CPU as it treats a GPU."""

    def __init__(self, network: AudioLlm, record: Any) -> None:
        super().__init__(network)
        self._graphs = RecordedSteps(self._whole_step, record)


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
    audio=Sampling(temperature=0.8, top_k=10, repetition_penalty=1.3, repetition_window=4),
)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_recorded_step_does_what_a_step_does(
    network: AudioLlm, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    wanted = Engine(network).replies(prompts()[:rows], SETTINGS)
    forward, calls = network.model.forward, []
    monkeypatch.setattr(
        network.model, "forward", lambda *a, **k: (calls.append(1), forward(*a, **k))[1]
    )
    engine = RecordingEngine(network, record)
    assert engine.replies(prompts()[:rows], SETTINGS) == wanted
    assert len(calls) == 3  # the prompts, and the step that was run and recorded
    # The recording is the engine's, not a reply's. Three rows have it from four.
    assert engine.replies(prompts()[:rows], SETTINGS) == wanted
    assert len(calls) == 4


def test_rows_that_join_and_leave_share_few_recordings(network: AudioLlm) -> None:
    engine, made = RecordingEngine(network, record), []
    engine._graphs = RecordedSteps(engine._whole_step, lambda run: (made.append(1), record(run))[1])
    text = SETTINGS.model_copy(update={"reply": Reply.TEXT})
    asked = [(one, how) for one in prompts() for how in (SETTINGS, text)]
    wanted = [Engine(network).replies([one], how)[0] for one, how in asked]
    found: dict[int, GeneratedReply] = {}
    while asked or engine.busy:
        if asked:
            found[engine.add(*asked.pop(0))] = GeneratedReply()
        for piece in engine.step():
            found[piece.handle].add(piece.step)
    assert list(found.values()) == wanted
    assert len(made) <= 12
    # Slots were added, which moved the buffers: recordings of before are gone.
    assert engine._memory.trunk.slots == 8


def test_what_cannot_be_recorded_runs_as_it_is(
    network: AudioLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Engine(network).replies(prompts(), SETTINGS)
    rotary = AudioLlm._rotary

    def waits(self: AudioLlm, positions: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        assert float(hidden.abs().sum()) > 0
        return rotary(self, positions, hidden)

    monkeypatch.setattr(AudioLlm, "_rotary", waits)
    with pytest.warns(UserWarning, match="not recorded as a CUDA graph: .*waits for the device"):
        assert RecordingEngine(network, record).replies(prompts(), SETTINGS) == wanted


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cuda_graph_does_what_steps_do(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    network = AudioLlm(preset("tiny")).eval().cuda().to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Engine(network).replies(prompts(), SETTINGS)
    plain = Engine(network)
    plain._graphs = None
    assert plain.replies(prompts(), SETTINGS) == found


def test_attention_by_flash_kernels_sees_what_the_masked_way_sees(
    network: AudioLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels want a GPU; here a stand-in does what their documentation says."""
    wanted = Engine(network).replies(prompts(), SETTINGS)
    called = []

    def varlen_attn(
        query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor,
        max_q: int, max_k: int, *, scale: float, enable_gqa: bool, seqused_k: Tensor,
    ) -> Tensor:  # fmt: skip
        assert all(t.dtype == torch.int32 for t in (cu_seq_q, cu_seq_k, seqused_k))
        assert (max_q, enable_gqa) == (1, True)
        assert len(query) == cu_seq_q[-1] == len(seqused_k) == len(cu_seq_k) - 1
        assert int(seqused_k.max()) <= max_k == int(cu_seq_k[1])
        called.append(1)
        rows = []
        for row, (start, used) in enumerate(zip(cu_seq_k[:-1], seqused_k, strict=True)):
            k, v = (x[start : start + used].transpose(0, 1)[None] for x in (key, value))
            one = query[row][None, :, None]
            rows.append(scaled_dot_product_attention(one, k, v, scale=scale, enable_gqa=True))
        return torch.cat(rows)[:, :, 0]

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
    monkeypatch.setattr("wavemill.model.llm.cache.flash", lambda _query: True)
    assert Engine(network).replies(prompts(), SETTINGS) == wanted
    assert called
