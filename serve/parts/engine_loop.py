"""One thread that steps an engine, while conversations join and leave from the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from wavemill.model.engine import Engine, ReplyStep
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings


@dataclass(eq=False)
class _Talk:
    """A reply in the making: what the thread tells its reader."""

    prompt: LlmPrompt
    settings: GenerateSettings
    tell: Callable[[ReplyStep | BaseException], None]
    handle: int | None = None
    left: bool = False


class EngineLoop:
    """Runs an engine that no other thread touches. Idle, it waits without using the CPU."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted: queue.SimpleQueue[_Talk] = queue.SimpleQueue()  # to join, or to leave
        self._talks: dict[int, _Talk] = {}  # by the engine's handle
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    @property
    def rows(self) -> int:
        """Replies in the making, those that wait for a place included."""
        return len(self._talks)

    async def stream(
        self, prompt: LlmPrompt, settings: GenerateSettings
    ) -> AsyncGenerator[list[ReplyStep], None]:
        """Yield the steps of a reply, as many at a time as there are.

        A reader that closes this ends the reply. Raises the errors of `Engine.add`.
        """
        loop, steps = asyncio.get_running_loop(), asyncio.Queue[ReplyStep | BaseException]()
        talk = _Talk(prompt, settings, lambda found: _tell(loop, steps, found))
        self._wanted.put(talk)
        try:
            while True:
                found = [await steps.get()]
                while not steps.empty():
                    found.append(steps.get_nowait())
                made = [step for step in found if isinstance(step, ReplyStep)]
                if made:
                    yield made
                for step in found:
                    if isinstance(step, BaseException):
                        raise step
                if made[-1].last:
                    return
        finally:
            talk.left = True
            self._wanted.put(talk)

    def _run(self) -> None:
        while True:
            self._take(wait=not self._engine.busy)
            while not self._wanted.empty():
                self._take(wait=False)
            if self._engine.busy:
                self._step()

    def _take(self, wait: bool) -> None:
        """Let one talk join or leave."""
        try:
            talk = self._wanted.get(block=wait)
        except queue.Empty:
            return
        if talk.left:
            if talk.handle is not None and self._talks.pop(talk.handle, None) is not None:
                self._engine.remove(talk.handle)
            return
        try:
            talk.handle = self._engine.add(talk.prompt, talk.settings)
        except Exception as error:
            talk.tell(error)
        else:
            self._talks[talk.handle] = talk

    def _step(self) -> None:
        try:
            pieces = self._engine.step()
        except Exception as error:  # for example no memory: these replies are lost, others follow
            for handle, talk in self._talks.items():
                self._engine.remove(handle)
                talk.tell(error)
            self._talks.clear()
            return
        for piece in pieces:
            self._talks[piece.handle].tell(piece.step)
            if piece.step.last:
                del self._talks[piece.handle]


def _tell(
    loop: asyncio.AbstractEventLoop,
    steps: asyncio.Queue[ReplyStep | BaseException],
    found: ReplyStep | BaseException,
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(steps.put_nowait, found)
