"""One response: the model's reply as events, and as an item of the conversation."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

from openai.types import realtime as types
from pydantic import BaseModel

from wavemill.model.assistant import Message, ReplyPiece
from wavemill.model.prompt.layout import Reply
from wavemill.serve.audio.formats import Samples, encoded
from wavemill.serve.audio.rates import Resampler
from wavemill.serve.conversation import Item, new_id
from wavemill.serve.gateway.backend import ReplyRefused, Unavailable, sound_of
from wavemill.serve.gateway.fair import Full
from wavemill.serve.parts.asked import Begun
from wavemill.serve.realtime.events import made, shown
from wavemill.serve.realtime.settings import SessionSettings
from wavemill.serve.services import Services

logger = logging.getLogger("ray.serve")
Reason = Literal["turn_detected", "client_cancelled"]
Send = Callable[[BaseModel], Awaitable[None]]


class Response:
    """A reply in the making. `stop` ends it early; `run` always sends `response.done`."""

    def __init__(
        self,
        services: Services,
        settings: SessionSettings,
        send: Send,
        conversation_id: str | None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        """`conversation_id` is None for a response that is not added to the conversation."""
        self.id, self.conversation_id = new_id("resp"), conversation_id
        self.spoken = settings.reply is Reply.BOTH
        self.item = Item(new_id("item"), "assistant", "", self.spoken, status="in_progress")
        self._services, self._settings, self._send = services, settings, send
        self._metadata = metadata
        self._reason: Reason | None = None
        self._consuming: asyncio.Task[None] | None = None
        self._rates = Resampler(services.facts.rate, settings.speaks.rate)
        self._sent = 0  # samples, at the client's rate
        self._complete = False
        self._failure: tuple[str, str] | None = None
        self.first_at: float | None = None  # when the first audio was sent, by the monotonic clock
        self._first_text_at: float | None = None
        self._positions = self._left_out = 0
        self._heard: Sequence[Message] = ()

    @property
    def sent_ms(self) -> int:
        """Audio that the client has."""
        return self._sent * 1000 // self._settings.speaks.rate

    @property
    def played_ms(self) -> int:
        """Audio that can have been played by now, if it was played as soon as it came."""
        if self.first_at is None:
            return 0
        return min(self.sent_ms, round((time.monotonic() - self.first_at) * 1000))

    def stop(self, reason: Reason) -> None:
        """End the reply where it is."""
        if self._reason is None:
            self._reason = reason
        if self._consuming is not None:
            self._consuming.cancel()

    async def run(
        self,
        owner: str,
        messages: Sequence[Message],
        add: Callable[[Item], str | None],
        since: float,
    ) -> None:
        """Make the reply and send it. `add` puts its item into the conversation.

        `since` is when the user had finished, by the monotonic clock.
        """
        self._heard = messages
        await self._send(made(types.ResponseCreatedEvent, response=self._shown("in_progress")))
        await self._begin(add)
        if self._reason is None:
            self._consuming = asyncio.ensure_future(self._consume(owner, messages))
            try:
                await self._consuming
            except asyncio.CancelledError:
                if self._reason is None:
                    self._consuming.cancel()
                    raise
            except (ReplyRefused, Unavailable, Full) as error:
                self._failure = getattr(error, "code", _code(error)), str(error)
            except Exception:
                logger.exception("a response failed")
                self._failure = "internal_error", "the server failed"
        await self._end(since)

    async def _consume(self, owner: str, messages: Sequence[Message]) -> None:
        services = self._services
        changes: dict[str, Any] = {"reply": self._settings.reply}
        if self._settings.most_tokens is not None:
            changes["max_new_tokens"] = min(
                self._settings.most_tokens, services.config.answers.most_tokens
            )
        generate = services.config.generate(**changes)
        asked = services.asked(messages, generate, self._settings.voice)
        async with aclosing(services.reply(owner, asked)) as answers:
            async for answer in answers:
                if isinstance(answer, Begun):
                    self._positions, self._left_out = answer.positions, answer.left_out
                else:
                    await self._take(answer)
        if self.spoken:
            await self._say(self._rates.push(sound_of([]), last=True))

    async def _take(self, pieces: list[ReplyPiece]) -> None:
        """Send what pieces add, text before the sound that it belongs to."""
        item = self.item
        item.text_ids += tuple(id_ for piece in pieces for id_ in piece.text_ids)
        item.codes += tuple(code for piece in pieces for code in piece.codes)
        self._complete = pieces[-1].complete
        if text := "".join(piece.text for piece in pieces):
            if self._first_text_at is None:
                self._first_text_at = time.monotonic()
            item.text = (item.text or "") + text
            kind = types.ResponseAudioTranscriptDeltaEvent
            await self._delta(kind if self.spoken else types.ResponseTextDeltaEvent, text)
        if self.spoken:
            await self._say(self._rates.push(sound_of(pieces)))

    async def _say(self, sound: Samples) -> None:
        if not len(sound):
            return
        content = base64.b64encode(encoded(sound, self._settings.speaks)).decode()
        if self.first_at is None:
            self.first_at = time.monotonic()
        self._sent += len(sound)
        await self._delta(types.ResponseAudioDeltaEvent, content)

    async def _delta(self, kind: type[BaseModel], delta: str) -> None:
        await self._send(made(kind, delta=delta, **self._place()))

    def _place(self) -> dict[str, Any]:
        return {
            "response_id": self.id,
            "item_id": self.item.id,
            "output_index": 0,
            "content_index": 0,
        }

    async def _begin(self, add: Callable[[Item], str | None]) -> None:
        before = add(self.item)
        seen = shown(self.item).model_copy(update={"content": []})
        where = {"response_id": self.id, "output_index": 0}
        await self._send(made(types.ResponseOutputItemAddedEvent, item=seen, **where))
        if self.conversation_id is not None:
            await self._send(made(types.ConversationItemAdded, item=seen, previous_item_id=before))
        self._previous = before
        await self._send(
            made(types.ResponseContentPartAddedEvent, part=self._part(""), **self._place())
        )

    async def _end(self, since: float) -> None:
        item = self.item
        if self._reason is not None and self.spoken:
            item.truncate(self.sent_ms)
        item.status = "completed" if self._status == "completed" else "incomplete"
        text, place = item.text or "", self._place()
        if self.spoken:
            await self._send(made(types.ResponseAudioDoneEvent, **place))
            await self._send(made(types.ResponseAudioTranscriptDoneEvent, transcript=text, **place))
        else:
            await self._send(made(types.ResponseTextDoneEvent, text=text, **place))
        await self._send(made(types.ResponseContentPartDoneEvent, part=self._part(text), **place))
        where = {"response_id": self.id, "output_index": 0}
        await self._send(made(types.ResponseOutputItemDoneEvent, item=shown(item), **where))
        if self.conversation_id is not None:
            await self._send(
                made(
                    types.ConversationItemDone,
                    item=shown(item),
                    previous_item_id=self._previous,
                )
            )
        await self._send(made(types.ResponseDoneEvent, response=self._shown(self._status)))
        self._services.metrics.turn(self._line(since))

    def _part(self, text: str) -> dict[str, str]:
        return (
            {"type": "audio", "transcript": text} if self.spoken else {"type": "text", "text": text}
        )

    @property
    def _status(self) -> str:
        if self._failure is not None:
            return "failed"
        if self._reason is not None:
            return "cancelled"
        return "completed" if self._complete else "incomplete"

    def _shown(self, status: str) -> types.RealtimeResponse:
        fields: dict[str, Any] = {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "conversation_id": self.conversation_id,
            "output_modalities": ["audio" if self.spoken else "text"],
            "max_output_tokens": self._settings.most_tokens or "inf",
            "metadata": self._metadata,
            "output": [] if status == "in_progress" else [shown(self.item).model_dump()],
        }
        if status != "in_progress":
            fields["status_details"] = self._details(status)
            fields["usage"] = self._usage()
        return types.RealtimeResponse.model_validate(fields)

    def _details(self, status: str) -> dict[str, Any]:
        details: dict[str, Any] = {"type": status}
        if status == "cancelled":
            details["reason"] = self._reason
        if status == "incomplete":
            details["reason"] = "max_output_tokens"
        if self._failure is not None:
            code, message = self._failure
            details["error"] = {"type": "server_error", "code": code, "message": message}
        return details

    def _usage(self) -> dict[str, Any]:
        """Return the tokens of the prompt, its markers among the text's, and of the reply."""
        read = self._heard[self._left_out :]
        audio = sum(len(m.tokens.codes or ()) for m in read if m.tokens is not None)
        audio = min(audio, self._positions)
        said = len(self.item.text_ids), len(self.item.codes)
        return {
            "total_tokens": self._positions + sum(said),
            "input_tokens": self._positions,
            "output_tokens": sum(said),
            "input_token_details": {
                "audio_tokens": audio,
                "text_tokens": self._positions - audio,
                "cached_tokens": 0,
            },
            "output_token_details": {"text_tokens": said[0], "audio_tokens": said[1]},
        }

    def _line(self, since: float) -> dict[str, Any]:
        """Return the facts of the turn, for the log."""

        def after(at: float | None) -> float | None:
            return None if at is None else round(at - since, 4)

        return {
            "conversation": self.conversation_id,
            "response": self.id,
            "status": self._status,
            "reason": self._reason or (self._failure[0] if self._failure else None),
            "first_text_s": after(self._first_text_at),
            "first_audio_s": after(self.first_at),
            "total_s": after(time.monotonic()),
            "audio_s": self.sent_ms / 1000,
            "prompt_tokens": self._positions,
            "messages_left_out": self._left_out,
            "text_tokens": len(self.item.text_ids),
            "audio_tokens": len(self.item.codes),
        }


def _code(error: Exception) -> str:
    return "server_busy" if isinstance(error, Full) else "unavailable"
