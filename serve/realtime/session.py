"""One session: the events of a client carried out, in their order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from openai.types import realtime as types

from wavemill.serve.audio.formats import AudioRefused, Format, Samples, decoded
from wavemill.serve.audio.rates import Resampler
from wavemill.serve.audio.turns import Started, Stopped
from wavemill.serve.conversation import Conversation, Item, new_id
from wavemill.serve.gateway.backend import ReplyRefused, Unavailable
from wavemill.serve.gateway.fair import Full
from wavemill.serve.realtime.ear import Ear, TooLong
from wavemill.serve.realtime.events import (
    EventRefused,
    Gone,
    bytes_of,
    failure,
    made,
    parts_of,
    retrieved,
    shown,
)
from wavemill.serve.realtime.response import Reason, Response, Send
from wavemill.serve.realtime.settings import SessionSettings, Updater
from wavemill.serve.services import Services
from wavemill.stages.diarize.vad import SAMPLE_RATE

logger = logging.getLogger("ray.serve")
MOST_WORK = 64  # events that wait to be carried out; then no more are read
AT_ONCE = 48_000  # bytes of audio that are looked at without a thread


class Session:
    """State of one connection. `handle` takes the client's events one after another.

    Events that change the conversation wait for one another; audio, `response.cancel` and
    `conversation.item.truncate` do not wait, so that a reply can be interrupted.
    """

    def __init__(
        self, services: Services, owner: str, conversation: Conversation, send: Send
    ) -> None:
        self.id = new_id("sess")
        self._services, self._owner, self._talk, self._send = services, owner, conversation, send
        self._settings = SessionSettings.first(services.config, services.backend.speaks)
        self._ear = Ear(services.vad, services.config.limits.turn_seconds)
        self._ear.set(self._settings)
        self._turn_id = new_id("item")  # of the turn that is being heard
        self._response: Response | None = None  # the newest
        self._responding: asyncio.Task[None] | None = None
        self._work: asyncio.Queue[tuple[Callable[[], Awaitable[None]], str | None]]
        self._work = asyncio.Queue(MOST_WORK)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def begin(self) -> None:
        """Send the first events, and start to carry out what comes."""
        shown_settings = self._settings.shown(self.id)
        await self._send(made(types.SessionCreatedEvent, session=shown_settings))
        about = {"id": self._talk.id, "object": "realtime.conversation"}
        await self._send(made(types.ConversationCreatedEvent, conversation=about))
        self._spawn(self._carry_out())

    async def end(self) -> None:
        """Stop everything; what was said until now is kept."""
        if self._response is not None and self._busy:
            self._response.item.truncate(self._response.played_ms)
            self._response.item.status = "incomplete"
            if self._talk.find(self._response.item.id) is not None:
                self._talk.touch(self._response.item)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._talk.changed:
            await self._services.save(self._owner, self._talk)

    async def handle(self, event: Any) -> None:
        """Carry out an event, or put it behind those that wait. Raises EventRefused."""
        match event.type:
            case "input_audio_buffer.append":
                await self._append(event.audio)
            case "input_audio_buffer.clear":
                self._ear.clear()
                await self._send(made(types.InputAudioBufferClearedEvent))
            case "input_audio_buffer.commit":
                sound = self._ear.commit()
                if sound is None:
                    raise EventRefused(
                        "input_audio_buffer_commit_empty", "there is less than 100 ms of audio"
                    )
                await self._commit(sound, "client", respond=False)
            case "response.cancel":
                await self._cancel(event.response_id)
            case "conversation.item.truncate":
                await self._truncate(event)
            case "session.update":
                await self._update(event)
            case _:
                works: dict[str, Any] = {
                    "conversation.item.create": self._create_item,
                    "conversation.item.delete": self._delete_item,
                    "conversation.item.retrieve": self._retrieve_item,
                    "response.create": self._create_response,
                }
                work = works[event.type]
                await self._work.put((lambda: work(event), event.event_id))

    async def _carry_out(self) -> None:
        while True:
            work, event_id = await self._work.get()
            try:
                await work()
            except EventRefused as error:
                error.event_id = error.event_id or event_id
                await self._send(failure(error))
            except Unavailable as error:
                refused = EventRefused("unavailable", str(error), event_id=event_id)
                await self._send(failure(refused, "server_error"))
            except Exception as error:
                if isinstance(error, Gone):
                    raise
                logger.exception("an event failed")
                refused = EventRefused("internal_error", "the server failed", event_id=event_id)
                await self._send(failure(refused, "server_error"))
            if self._talk.changed:
                await self._services.save(self._owner, self._talk)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and not isinstance(task.exception(), Gone | None):
            logger.error("a task of a session failed", exc_info=task.exception())

    # What is heard.

    async def _append(self, audio: str) -> None:
        content = bytes_of(audio, "audio")
        try:
            if len(content) > AT_ONCE:
                found = await asyncio.to_thread(lambda: list(self._ear.feed(content)))
            else:
                found = list(self._ear.feed(content))
        except AudioRefused as error:
            raise EventRefused("invalid_audio", str(error), "audio") from None
        except TooLong as error:
            raise EventRefused("input_audio_buffer_full", str(error), "audio") from None
        for change in found:
            if isinstance(change, Started):
                await self._started(change)
            else:
                await self._stopped(change)

    async def _started(self, change: Started) -> None:
        await self._send(
            made(
                types.InputAudioBufferSpeechStartedEvent,
                audio_start_ms=change.start_ms,
                item_id=self._turn_id,
            )
        )
        rules = self._settings.turn_detection
        if rules is not None and rules.interrupt_response:
            await self._interrupt("turn_detected")

    async def _stopped(self, change: Stopped) -> None:
        await self._send(
            made(
                types.InputAudioBufferSpeechStoppedEvent,
                audio_end_ms=change.end_ms,
                item_id=self._turn_id,
            )
        )
        rules = self._settings.turn_detection
        respond = rules is not None and rules.create_response
        await self._commit(change.sound, "server", respond)

    async def _commit(self, sound: Samples, by: str, respond: bool) -> None:
        """Make what was heard an item of the conversation, and answer it if `respond`."""
        item_id, self._turn_id = self._turn_id, new_id("item")
        since, rules = time.monotonic(), self._settings.turn_detection
        self._services.metrics.commit(by)
        last = self._talk.items[-1].id if self._talk.items else None
        await self._send(
            made(types.InputAudioBufferCommittedEvent, item_id=item_id, previous_item_id=last)
        )

        async def work() -> None:
            item = await self._services.heard(sound, item_id)
            await self._add(item, None)
            if self._settings.transcribes:
                self._spawn(self._transcribe(item, len(sound) / SAMPLE_RATE))
            if respond and rules is not None and rules.interrupt_response:
                await self._interrupt("turn_detected")  # a reply to a turn just before
            if respond and not self._busy:
                await self._respond(self._settings, since)

        await self._work.put((work, None))

    async def _transcribe(self, item: Item, seconds: float) -> None:
        """Tell the client what the model takes the user to have said."""
        where = {"item_id": item.id, "content_index": 0}
        try:
            text = await self._services.transcript(self._owner, item)
        except (ReplyRefused, Unavailable, Full) as error:
            problem = {"code": getattr(error, "code", "unavailable"), "message": str(error)}
            await self._send(
                made(
                    types.ConversationItemInputAudioTranscriptionFailedEvent,
                    error=problem,
                    **where,
                )
            )
            return
        item.text = text
        if self._talk.find(item.id) is item:
            self._talk.touch(item)
            await self._services.save(self._owner, self._talk)
        await self._send(
            made(
                types.ConversationItemInputAudioTranscriptionCompletedEvent,
                transcript=text,
                usage={"type": "duration", "seconds": seconds},
                **where,
            )
        )

    # The conversation.

    async def _update(self, event: types.SessionUpdateEvent) -> None:
        if event.session.type != "realtime":
            raise EventRefused("unsupported_value", "only realtime", "session.type", event.event_id)
        self._settings = self._updater("session").updated(self._settings, event.session)
        self._ear.set(self._settings)
        shown_settings = self._settings.shown(self.id)
        await self._send(made(types.SessionUpdatedEvent, session=shown_settings))

    def _updater(self, prefix: str) -> Updater:
        services = self._services
        return Updater(services.config, services.backend.speaks, services.voices, prefix)

    async def _add(self, item: Item, after: str | None) -> None:
        most = self._services.config.limits.items
        if len(self._talk.items) >= most:
            raise EventRefused("conversation_full", f"a conversation may have {most} items")
        self._talk.add(item, after)
        before = self._talk.before(item)
        for kind in (types.ConversationItemAdded, types.ConversationItemDone):
            await self._send(made(kind, item=shown(item), previous_item_id=before))

    async def _create_item(self, event: types.ConversationItemCreateEvent) -> None:
        after = event.previous_item_id
        if after not in (None, "root") and self._talk.find(str(after)) is None:
            raise EventRefused("item_not_found", f"no item {after}", "previous_item_id")
        item = await self._read_item(event.item)
        if self._talk.find(item.id) is not None:
            raise EventRefused("invalid_value", f"there is an item {item.id}", "item.id")
        await self._add(item, after)

    async def _read_item(self, given: Any) -> Item:
        """Return an item that a client gives. Raises EventRefused."""
        if getattr(given, "type", None) != "message":
            raise EventRefused("unsupported_value", "only messages", "item.type")
        texts, sounds = [], []
        for part in parts_of(given.content):
            if part.get("type") in ("input_text", "output_text", "text"):
                texts.append(part.get("text") or "")
            elif part.get("type") == "input_audio" and given.role == "user":
                sounds.append(self._sound(part.get("audio") or ""))
            elif part.get("type") == "output_audio" and part.get("transcript"):
                texts.append(part["transcript"])
            else:
                raise EventRefused(
                    "unsupported_value", f"no {part.get('type')} of {given.role}", "item.content"
                )
        if bool(texts) == bool(sounds) or len(sounds) > 1:
            raise EventRefused("invalid_value", "texts, or one audio", "item.content")
        services = self._services
        if sounds:
            return await services.heard(sounds[0], given.id)
        text, most = "\n".join(texts), services.config.limits.text_characters
        if not text or len(text) > most:
            raise EventRefused("text_too_long", f"1 to {most} characters", "item.content")
        item = await services.written(given.role, text)
        item.id = given.id or item.id
        return item

    def _sound(self, audio: str) -> Samples:
        """Return the audio of an item, float32 (samples,) at 16 kHz. Raises EventRefused."""
        form: Format = self._settings.hears
        try:
            given = decoded(bytes_of(audio, "item.content"), form)
        except AudioRefused as error:
            raise EventRefused("invalid_audio", str(error), "item.content") from None
        most = self._services.config.limits.turn_seconds
        if not 0.1 <= len(given) / form.rate <= most:
            raise EventRefused("invalid_audio", f"0.1 to {most:g} s of audio", "item.content")
        return Resampler(form.rate, SAMPLE_RATE).push(given, last=True)

    def _found(self, item_id: str) -> Item:
        item = self._talk.find(item_id)
        if item is None:
            raise EventRefused("item_not_found", f"no item {item_id[:80]}", "item_id")
        return item

    async def _delete_item(self, event: types.ConversationItemDeleteEvent) -> None:
        item = self._found(event.item_id)
        if self._busy and self._response is not None and self._response.item is item:
            raise EventRefused("invalid_value", "this item is being made", "item_id")
        self._talk.remove(item)
        await self._send(made(types.ConversationItemDeletedEvent, item_id=item.id))

    async def _retrieve_item(self, event: types.ConversationItemRetrieveEvent) -> None:
        await self._send(retrieved(self._found(event.item_id)))

    async def _truncate(self, event: types.ConversationItemTruncateEvent) -> None:
        item = self._found(event.item_id)
        if item.role != "assistant" or not item.spoken:
            raise EventRefused("invalid_value", "only spoken replies", "item_id")
        if event.content_index != 0 or event.audio_end_ms < 0:
            raise EventRefused("invalid_value", "content 0, and from 0 ms", "audio_end_ms")
        if self._busy and self._response is not None and self._response.item is item:
            await self._stop("client_cancelled")
        await self._cut(item, event.audio_end_ms)
        await self._services.save(self._owner, self._talk)

    async def _cut(self, item: Item, audio_end_ms: int) -> None:
        item.truncate(audio_end_ms)
        self._talk.touch(item)
        await self._send(
            made(
                types.ConversationItemTruncatedEvent,
                item_id=item.id,
                content_index=0,
                audio_end_ms=audio_end_ms,
            )
        )

    # Replies.

    @property
    def _busy(self) -> bool:
        return self._responding is not None and not self._responding.done()

    async def _create_response(self, event: types.ResponseCreateEvent) -> None:
        since = time.monotonic()
        if self._busy:
            raise EventRefused(
                "conversation_already_has_active_response", "a response is being made"
            )
        settings, given = self._settings, event.response
        if given is None:
            await self._respond(settings, since)
            return
        settings = self._updater("response").updated(settings, given)
        inside = given.conversation != "none"
        items = None
        if given.input is not None:
            items = [await self._input_item(one) for one in given.input]
        await self._respond(settings, since, inside, items, given.metadata)

    async def _input_item(self, given: Any) -> Item:
        if getattr(given, "type", None) == "item_reference":
            return self._found(given.id or "")
        return await self._read_item(given)

    async def _respond(
        self,
        settings: SessionSettings,
        since: float,
        inside: bool = True,
        items: list[Item] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        """Start a reply to the conversation, or to `items` in its place."""
        services = self._services
        talk = self._talk if items is None else Conversation("", items)
        messages = await services.instructed(
            settings.instructions, list(talk.messages(services.facts.delay))
        )
        if not messages:
            raise EventRefused("conversation_empty", "there is nothing to answer")
        response = Response(
            services, settings, self._send, self._talk.id if inside else None, metadata
        )
        self._response = response

        def add(item: Item) -> str | None:
            if not inside:
                return None
            self._talk.add(item)
            return self._talk.before(item)

        async def run() -> None:
            await response.run(self._owner, messages, add, since)
            if inside and self._talk.find(response.item.id) is not None:
                self._talk.touch(response.item)
                await services.save(self._owner, self._talk)

        self._responding = self._spawn(run())

    async def _cancel(self, response_id: str | None) -> None:
        response = self._response
        wanted = response_id is None or (response is not None and response.id == response_id)
        if not self._busy or not wanted:
            raise EventRefused("response_cancel_not_active", "no such response is being made")
        await self._stop("client_cancelled")

    async def _stop(self, reason: Reason) -> None:
        if self._response is not None and self._responding is not None:
            self._response.stop(reason)
            await asyncio.wait([self._responding])

    async def _interrupt(self, reason: Reason) -> None:
        """End the reply at what can have been played, since somebody speaks."""
        response = self._response
        if response is None:
            return
        played = response.played_ms
        if self._busy:
            await self._stop(reason)
        item = self._talk.find(response.item.id)
        if item is None or not response.spoken or played >= item.audio_ms or not item.codes:
            return
        await self._cut(item, played)
        await self._services.save(self._owner, self._talk)
