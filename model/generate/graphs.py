"""Steps of the engine; on a GPU, a step is recorded as a CUDA graph and then replayed.

A step launches about a thousand short kernels, and at batch 1 the GPU would mostly wait for
Python. A CUDA graph repeats exactly those launches on exactly those addresses. Therefore a step
reads and writes tensors that stay in place, never reads a tensor's value on the CPU, and has
shapes that do not depend on how long the rows are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from wavemill.model.llm.network import LlmOutput, NextIds

WARM_UPS = 3  # steps before a recording, in which libraries allocate their workspaces

Run = Callable[[NextIds], LlmOutput]
Record = Callable[[Callable[[], LlmOutput]], Callable[[], LlmOutput]]


class RecordedSteps:
    """Steps that are recorded once for each number of rows, and replayed from then on.

    What a step computes must depend on its inputs alone, so that it can be run several times. If
    `record` fails, it warns, and steps of that number of rows run without a recording. An output
    is valid until the next step.
    """

    def __init__(self, step: Run, record: Record) -> None:
        self._step, self._record = step, record
        self._made: dict[tuple[int, ...], tuple[NextIds, Callable[[], LlmOutput] | None]] = {}

    def __call__(self, given: NextIds) -> LlmOutput:
        shape = tuple(len(tensor) for tensor in _tensors(given))
        if shape not in self._made:
            held = NextIds(*(tensor.clone() for tensor in _tensors(given)))
            self._made[shape] = held, self._recorded(held)
        held, replay = self._made[shape]
        if replay is None:
            return self._step(given)
        for kept, tensor in zip(_tensors(held), _tensors(given), strict=True):
            kept.copy_(tensor)
        return replay()

    def forget(self) -> None:
        """Drop all recordings, since tensors that they use have moved."""
        self._made.clear()

    def _recorded(self, held: NextIds) -> Callable[[], LlmOutput] | None:
        try:
            return self._record(lambda: self._step(held))
        except RuntimeError as error:
            warnings.warn(f"steps are not recorded as a CUDA graph: {error}", stacklevel=4)
            return None


def _tensors(given: NextIds) -> tuple[Tensor, ...]:
    return tuple(getattr(given, one.name) for one in fields(given))


class CudaGraphs:
    """Records runs on a GPU; all recordings share their memory, as no two run at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], LlmOutput]) -> Callable[[], LlmOutput]:
        """Return a function that repeats `run`, into the same output tensors.

        Raises RuntimeError when something in `run` cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    run()
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph, pool=self._pool):
                output = run()

        def replay() -> LlmOutput:
            graph.replay()
            return output

        return replay
