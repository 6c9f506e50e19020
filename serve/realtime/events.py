"""Events of the protocol: read from what a client sends, and made for it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from openai.types import realtime as types
from openai.types.realtime.conversation_item import ConversationItem
from openai.types.realtime.realtime_server_event import ConversationItemRetrieved
from pydantic import BaseModel, ValidationError

from wavemill.serve.conversation import Item, new_id

CLIENT_EVENTS: dict[str, type[BaseModel]] = {
    "session.update": types.SessionUpdateEvent,
    "input_audio_buffer.append": types.InputAudioBufferAppendEvent,
    "input_audio_buffer.commit": types.InputAudioBufferCommitEvent,
    "input_audio_buffer.clear": types.InputAudioBufferClearEvent,
    "conversation.item.create": types.ConversationItemCreateEvent,
    "conversation.item.truncate": types.ConversationItemTruncateEvent,
    "conversation.item.delete": types.ConversationItemDeleteEvent,
    "conversation.item.retrieve": types.ConversationItemRetrieveEvent,
    "response.create": types.ResponseCreateEvent,
    "response.cancel": types.ResponseCancelEvent,
}
Event = TypeVar("Event", bound=BaseModel)


class Gone(Exception):
    """The client has left, or does not take what is sent."""


class EventRefused(Exception):
    """An event of a client is not carried out: says why, in the words of the protocol."""

    def __init__(
        self, code: str, message: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.param, self.event_id = code, param, event_id


def read_event(text: str | bytes, most_bytes: int) -> BaseModel:
    """Return the event of a message. Raises EventRefused; what is too long is not read."""
    size = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size > most_bytes:
        raise EventRefused("event_too_large", f"{size} bytes; an event may have {most_bytes}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise EventRefused("invalid_json", "the event is not JSON") from None
    if not isinstance(content, dict):
        raise EventRefused("invalid_event", "an event is an object with a type")
    event_id = content.get("event_id")
    event_id = event_id if isinstance(event_id, str) else None
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in CLIENT_EVENTS:
        shown = repr(kind)[:80]
        raise EventRefused("unknown_event", f"there is no event of type {shown}", "type", event_id)
    try:
        return CLIENT_EVENTS[kind].model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
        raise EventRefused("invalid_value", first["msg"], where, event_id) from None
    except RecursionError:
        raise EventRefused("invalid_event", "the event is nested too deeply") from None


def bytes_of(text: str, param: str) -> bytes:
    """Return the bytes of base64; raises EventRefused."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EventRefused("invalid_base64", "the audio is not base64", param) from None


def made(kind: type[Event], **fields: Any) -> Event:
    """Return an event for a client, with its type and an id."""
    name = kind.model_fields["type"].annotation.__args__[0]  # type: ignore[union-attr]
    return kind(type=name, event_id=new_id("event"), **fields)


def as_json(event: BaseModel) -> str:
    """Return the text of an event: the fields that were set."""
    return event.model_dump_json(exclude_unset=True)


def failure(refused: EventRefused, kind: str = "invalid_request_error") -> BaseModel:
    """Return the event that says why another was not carried out."""
    error = types.RealtimeError(
        type=kind,
        code=refused.code,
        message=str(refused),
        param=refused.param,
        event_id=refused.event_id,
    )
    return made(types.RealtimeErrorEvent, error=error)


def shown(item: Item) -> ConversationItem:
    """Return an item as clients see it: texts, and no audio."""
    common: dict[str, Any] = {
        "id": item.id,
        "object": "realtime.item",
        "type": "message",
        "role": item.role,
        "status": item.status,
    }
    text = item.text or ""
    if item.role == "assistant":
        content: dict[str, Any] = {"type": "output_text", "text": text}
        if item.spoken:
            content = {"type": "output_audio", "transcript": text}
        return types.RealtimeConversationItemAssistantMessage(content=[content], **common)
    if item.role == "system":
        content = {"type": "input_text", "text": text}
        return types.RealtimeConversationItemSystemMessage(content=[content], **common)
    content = {"type": "input_text", "text": text}
    if item.spoken:
        content = {"type": "input_audio", "transcript": item.text}
    return types.RealtimeConversationItemUserMessage(content=[content], **common)


def retrieved(item: Item) -> BaseModel:
    """Return the event that shows an item."""
    return made(ConversationItemRetrieved, item=shown(item))


def parts_of(content: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the parts of an item's content that a client gave, as it gave them."""
    return [part.model_dump(exclude_unset=True) for part in content]
