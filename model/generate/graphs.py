"""Decoding steps; on a GPU, a step is recorded once as a CUDA graph and then replayed.

A step launches about a thousand short kernels, and at batch 1 the GPU would mostly wait for
Python. A CUDA graph repeats exactly those launches on exactly those addresses. Therefore a step
reads and writes tensors that stay in place, never reads a tensor's value on the CPU, and has the
same shapes at any length, which needs a static cache.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from wavemill.model.llm.cache import KeyValueCache
from wavemill.model.llm.network import AudioLlm, LlmOutput

WARM_UPS = 3  # steps before a recording, in which libraries allocate their workspaces

# From audio ids, text ids and positions, int64 (rows, 1) each, to the scores behind them.
DecodingStep = Callable[[Tensor, Tensor, Tensor], LlmOutput]
Run = Callable[[], LlmOutput]
Record = Callable[[Run, Callable[[], None]], Run]


def decoding_step(
    network: AudioLlm, cache: KeyValueCache, attention_mask: Tensor | None
) -> DecodingStep:
    """Return a function that reads one more position of each row, behind those in `cache`.

    `attention_mask` is that of the prompts. With a static cache on a GPU, every step after the
    first is replayed from a CUDA graph; an output is then valid until the next step.
    """

    def step(audio_ids: Tensor, text_ids: Tensor, positions: Tensor) -> LlmOutput:
        return network(
            audio_ids,
            text_ids,
            attention_mask=attention_mask,
            position_ids=positions,
            cache=cache,
        )

    device = next(network.parameters()).device
    if cache.static and device.type == "cuda":
        return RecordedStep(step, cache, partial(cuda_graph, device))
    return step


class RecordedStep:
    """A step that is recorded at its first call and replayed from then on.

    If `record` fails, it warns, and steps run without a recording.
    """

    def __init__(self, step: DecodingStep, cache: KeyValueCache, record: Record) -> None:
        self._step = step
        self._cache = cache
        self._record: Record | None = record
        self._replay: Run | None = None
        self._inputs: tuple[Tensor, ...] = ()  # the tensors that the recording reads

    def __call__(self, audio_ids: Tensor, text_ids: Tensor, positions: Tensor) -> LlmOutput:
        given = (audio_ids, text_ids, positions)
        if self._record is not None:
            self._inputs = tuple(tensor.clone() for tensor in given)
            self._replay, self._record = self._recorded(self._record), None
        if self._replay is None:
            return self._step(*given)
        self._cache.check_room(1)
        for held, tensor in zip(self._inputs, given, strict=True):
            held.copy_(tensor)
        output = self._replay()
        self._cache.length += 1  # the recording repeats only what runs on the GPU
        return output

    def _recorded(self, record: Record) -> Run | None:
        length = self._cache.length
        try:
            return record(lambda: self._step(*self._inputs), lambda: self._cache.rewind(length))
        except RuntimeError as error:
            warnings.warn(f"steps are not recorded as a CUDA graph: {error}", stacklevel=3)
            return None
        finally:
            self._cache.rewind(length)


def cuda_graph(device: torch.device, run: Run, undo: Callable[[], None]) -> Run:
    """Record `run` on a GPU; return a function that repeats it, into the same output tensors.

    `undo` reverts the changes of a run. Raises RuntimeError when something in `run` cannot be
    recorded.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                run()
                undo()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            output = run()

    def replay() -> LlmOutput:
        graph.replay()
        return output

    return replay
