"""All services in one process, without Ray: starts in seconds, for trying out and for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from inspect import isasyncgenfunction
from typing import Any

from wavemill.model.detokenizer.layout import has_detokenizer
from wavemill.model.io.folders import resolve
from wavemill.serve.config import ServeConfig
from wavemill.serve.gateway.access import read_keys
from wavemill.serve.gateway.gateway import Gateway
from wavemill.serve.parts.detokenizer import Detokenizer
from wavemill.serve.parts.llm import Llm
from wavemill.serve.parts.tokenizer import Tokenizer


@dataclass(frozen=True)
class InlineHandle:
    """Calls a service as a handle of Ray Serve does: `handle.method.remote(...)`."""

    service: Any

    def options(self, **_options: Any) -> InlineHandle:
        return self

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self.service, name))


@dataclass(frozen=True)
class _Method:
    function: Any

    def remote(self, *arguments: Any) -> Any:
        called = self.function(*arguments)
        return _Stream(called) if isasyncgenfunction(self.function) else called


class _Stream:
    """A stream that can be cancelled from outside, as that of Ray Serve."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self._found.__anext__()

    def cancel(self) -> None:
        closing = asyncio.ensure_future(self._found.aclose())
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())


def inline_gateway(config: ServeConfig) -> Gateway:
    """Return a gateway with services of its own; its `asgi` is what a server runs.

    Raises ConfigError and WeightsError.
    """
    keys = read_keys(config)
    tokenizer, llm = InlineHandle(Tokenizer(config)), InlineHandle(Llm(config))
    detokenizer = None
    if config.detokenizer is not None or has_detokenizer(resolve(config.model)):
        detokenizer = InlineHandle(Detokenizer(config, llm))
    return Gateway(config, keys, tokenizer, llm, detokenizer)
