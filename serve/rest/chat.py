"""/v1/chat/completions: text and audio in, text or speech out, whole or streamed."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, ConfigDict

from wavemill.model.assistant import Message
from wavemill.model.prompt.layout import Reply
from wavemill.serve.audio.files import PCM, WRITTEN, read_file, written_file
from wavemill.serve.audio.formats import AudioRefused, Format, decoded, encoded
from wavemill.serve.audio.rates import Resampler
from wavemill.serve.conversation import Conversation, Item, new_id
from wavemill.serve.parts.asked import Asked
from wavemill.serve.rest.replies import Taken, taken
from wavemill.serve.rest.requests import Invalid, bytes_of
from wavemill.serve.services import Services
from wavemill.stages.diarize.vad import SAMPLE_RATE


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")  # clients send much that does not matter here


class AudioData(_Lenient):
    data: str
    format: str = "wav"


class Part(_Lenient):
    """A part of a message."""

    type: Literal["text", "input_audio"]
    text: str | None = None
    input_audio: AudioData | None = None


class EarlierAudio(_Lenient):
    """A spoken reply of before, which the server keeps as tokens."""

    id: str


class ChatMessage(_Lenient):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None
    audio: EarlierAudio | None = None


class AudioWanted(_Lenient):
    format: str = "wav"
    voice: str | dict[str, str] = "default"


class StreamOptions(_Lenient):
    include_usage: bool = False


class ChatRequest(_Lenient):
    """What is read of a request; `tools` are refused."""

    messages: list[ChatMessage]
    model: str = ""
    modalities: list[Literal["text", "audio"]] = ["text"]
    audio: AudioWanted | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    n: int | None = None
    tools: list[Any] | None = None


async def chat(services: Services, owner: str, request: ChatRequest) -> Response:
    """Answer a request. Raises Invalid, and what `Services.reply` does."""
    asked, form = await _asked(services, owner, request)
    reply = Taken(asked.settings.reply is Reply.BOTH)
    steps = taken(services, owner, asked, reply)
    about = {"id": new_id("chatcmpl"), "created": int(time.time()), "model": services.config.name}
    if request.stream:
        first = await anext(steps, None)  # errors come before the stream begins
        events = _events(services, owner, request, about, reply, first, steps)
        return StreamingResponse(events, media_type="text/event-stream")
    async for _ in steps:
        pass
    return JSONResponse(await _whole(services, owner, about, reply, form))


async def _asked(services: Services, owner: str, request: ChatRequest) -> tuple[Asked, str]:
    """Return what the services are asked for, and the format of the speech. Raises Invalid."""
    if request.tools:
        raise Invalid("unsupported_value", "there are no tools here", "tools")
    if request.n not in (None, 1):
        raise Invalid("unsupported_value", "one choice at a time", "n")
    spoken = "audio" in request.modalities
    if spoken and not services.backend.speaks:
        raise Invalid("unsupported_value", "this model answers in text", "modalities")
    wanted = request.audio or AudioWanted()
    if spoken and request.stream and wanted.format not in PCM:
        raise Invalid("unsupported_value", "streamed speech is pcm16", "audio.format")
    if spoken and wanted.format not in (*PCM, *WRITTEN):
        raise Invalid("unsupported_value", f"one of {', '.join((*WRITTEN, *PCM))}", "audio.format")
    messages = await _messages(services, owner, request.messages)
    changes = _changes(services, request) | {"reply": Reply.BOTH if spoken else Reply.TEXT}
    voice = wanted.voice if isinstance(wanted.voice, str) else wanted.voice.get("id")
    return services.asked(messages, services.config.generate(**changes), voice), wanted.format


def _changes(services: Services, request: ChatRequest) -> dict[str, Any]:
    """Return the settings that a request changes. Raises Invalid."""
    changes: dict[str, Any] = {}
    answers = services.config.answers
    limit = request.max_completion_tokens or request.max_tokens
    if limit is not None:
        if limit < 1:
            raise Invalid("invalid_value", "from 1", "max_completion_tokens")
        changes["max_new_tokens"] = min(limit, answers.most_tokens)
    if request.temperature is not None:
        if not 0 <= request.temperature <= 2:
            raise Invalid("invalid_value", "from 0 to 2", "temperature")
        changes["text"] = answers.text.model_copy(update={"temperature": request.temperature})
    if request.seed is not None:
        changes["seed"] = request.seed % (1 << 63)
    return changes


async def _messages(services: Services, owner: str, given: list[ChatMessage]) -> list[Message]:
    if not given:
        raise Invalid("invalid_value", "there are no messages", "messages")
    if len(given) > services.config.limits.items:
        raise Invalid("invalid_value", f"at most {services.config.limits.items}", "messages")
    messages = []
    for place, one in enumerate(given):
        where = f"messages.{place}"
        for item in await _items(services, owner, one, where):
            message = item.message(services.facts.delay)
            if message is not None:
                messages.append(message)
    if not messages:
        raise Invalid("invalid_value", "there is nothing in the messages", "messages")
    return messages


async def _items(services: Services, owner: str, given: ChatMessage, where: str) -> list[Item]:
    """Return a message as items: one for each of its parts."""
    if given.audio is not None:
        kept = await services.load(owner, given.audio.id)
        if kept is None or given.role != "assistant":
            raise Invalid("audio_not_found", "it is not kept here", f"{where}.audio.id", 404)
        return kept.items
    parts = given.content or ""
    if isinstance(parts, str):
        parts = [Part(type="text", text=parts)] if parts else []
    items, limits = [], services.config.limits
    for part in parts:
        if part.type == "text":
            if len(part.text or "") > limits.text_characters:
                most = limits.text_characters
                raise Invalid("text_too_long", f"at most {most} characters", f"{where}.content")
            role = "assistant" if given.role == "assistant" else "user"
            items.append(await services.written(role, part.text or ""))
        elif part.input_audio is not None and given.role == "user":
            items.append(await services.heard(_sound(services, part.input_audio, where)))
        else:
            raise Invalid("invalid_value", "audio needs input_audio of the user", where)
    return items


def _sound(services: Services, given: AudioData, where: str) -> np.ndarray:
    content, most = bytes_of(given.data, f"{where}.content"), services.config.limits.file_seconds
    try:
        if given.format not in PCM:
            return read_file(content, SAMPLE_RATE, most)
        samples = decoded(content, Format.PCM)
        if not 0.1 <= len(samples) / Format.PCM.rate <= most:
            raise AudioRefused(f"0.1 to {most:g} s of audio")
        return Resampler(Format.PCM.rate, SAMPLE_RATE).push(samples, last=True)
    except AudioRefused as error:
        raise Invalid("invalid_audio", str(error), f"{where}.content") from None


async def _kept(services: Services, owner: str, reply: Taken) -> dict[str, Any]:
    """Keep a spoken reply, so that a later request can name it; return what is said of it."""
    conversation = Conversation(reply.item.id)
    conversation.add(reply.item)
    await services.save(owner, conversation)
    expires = int(time.time() + services.config.limits.kept_seconds)
    return {"id": reply.item.id, "expires_at": expires}


def _usage(reply: Taken) -> dict[str, Any]:
    said = len(reply.item.text_ids), len(reply.item.codes)
    return {
        "prompt_tokens": reply.prompt,
        "completion_tokens": sum(said),
        "total_tokens": reply.prompt + sum(said),
        "completion_tokens_details": {"audio_tokens": said[1]},
    }


async def _whole(
    services: Services, owner: str, about: dict[str, Any], reply: Taken, form: str
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.item.text}
    if reply.spoken:
        kept = await _kept(services, owner, reply)
        content, _ = written_file(reply.whole(), services.facts.rate, form)
        data = base64.b64encode(content).decode()
        message["content"] = None
        message["audio"] = kept | {"data": data, "transcript": reply.item.text}
    choice = {"index": 0, "finish_reason": _reason(reply), "message": message}
    fields = about | {"object": "chat.completion", "choices": [choice], "usage": _usage(reply)}
    return ChatCompletion.model_validate(fields).model_dump(mode="json", exclude_unset=True)


def _reason(reply: Taken) -> str:
    return "stop" if reply.complete else "length"


async def _events(
    services: Services,
    owner: str,
    request: ChatRequest,
    about: dict[str, Any],
    reply: Taken,
    first: tuple[str, np.ndarray] | None,
    steps: AsyncIterator[tuple[str, np.ndarray]],
) -> AsyncIterator[str]:
    """Yield the reply as server-sent events."""
    rates = Resampler(services.facts.rate, Format.PCM.rate)

    def event(delta: dict[str, Any], **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": more.pop("reason", None)}
        fields = about | {"object": "chat.completion.chunk", "choices": [choice]} | more
        chunk = ChatCompletionChunk.model_validate(fields)
        return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"

    def step(text: str, sound: np.ndarray) -> str:
        if not reply.spoken:
            return event({"content": text})
        audio: dict[str, Any] = {"id": reply.item.id}
        if text:
            audio["transcript"] = text
        if len(sound):
            samples = encoded(rates.push(sound), Format.PCM)
            audio["data"] = base64.b64encode(samples).decode()
        return event({"audio": audio})

    yield event({"role": "assistant", "content": "" if not reply.spoken else None})
    if first is not None:
        yield step(*first)
    async for one in steps:
        yield step(*one)
    delta = {"audio": await _kept(services, owner, reply)} if reply.spoken else {}
    yield event(delta, reason=_reason(reply))
    if request.stream_options is not None and request.stream_options.include_usage:
        yield event({}, choices=[], usage=_usage(reply))
    yield "data: [DONE]\n\n"
