"""/v1/audio/speech and /v1/audio/transcriptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from openai.types.audio import Transcription
from pydantic import BaseModel, ConfigDict

from wavemill.model.prompt.layout import Reply
from wavemill.serve.audio.files import PCM, WRITTEN, read_file, written_file
from wavemill.serve.audio.formats import AudioRefused, Format, encoded
from wavemill.serve.audio.rates import Resampler
from wavemill.serve.parts.asked import Asked
from wavemill.serve.rest.replies import Taken, taken
from wavemill.serve.rest.requests import Invalid
from wavemill.serve.services import Services
from wavemill.stages.diarize.vad import SAMPLE_RATE


class SpeechRequest(BaseModel):
    """A text to be read aloud, by a model that was pre-trained on that."""

    model_config = ConfigDict(extra="ignore")

    input: str
    model: str = ""
    voice: str | dict[str, str] = "default"
    response_format: str = "wav"
    speed: float = 1.0
    stream_format: Literal["audio"] = "audio"


class TranscriptionRequest(BaseModel):
    """A recording whose words are wanted."""

    model_config = ConfigDict(extra="ignore")

    file: bytes
    model: str = ""
    prompt: str | None = None
    response_format: Literal["json", "text"] = "json"
    stream: bool = False


async def speech(services: Services, owner: str, request: SpeechRequest) -> Response:
    """Answer with a file, or with samples as they are made. Raises Invalid."""
    limits = services.config.limits
    if not services.backend.speaks:
        raise Invalid("unsupported_value", "this model has no detokenizer", "model")
    if not request.input.strip() or len(request.input) > limits.text_characters:
        raise Invalid("text_too_long", f"1 to {limits.text_characters} characters", "input")
    if request.speed != 1:
        raise Invalid("unsupported_value", "only speed 1", "speed")
    form = request.response_format
    if form not in (*PCM, *WRITTEN):
        raise Invalid(
            "unsupported_value", f"one of {', '.join((*WRITTEN, *PCM))}", "response_format"
        )
    ids = await services.text_ids(request.input)
    voice = request.voice if isinstance(request.voice, str) else request.voice.get("id")
    settings = services.config.generate(reply=Reply.BOTH)
    asked = Asked((), settings, services.config.answers.least_room, aloud=ids, voice=voice)
    reply = Taken(spoken=True)
    steps = taken(services, owner, asked, reply)
    if form in PCM:
        first = await anext(steps, None)  # errors come before the stream begins
        return StreamingResponse(_samples(services, first, steps), media_type="audio/pcm")
    async for _ in steps:
        pass
    content, mime = await asyncio.to_thread(written_file, reply.whole(), services.facts.rate, form)
    return Response(content, media_type=mime)


async def _samples(
    services: Services,
    first: tuple[str, np.ndarray] | None,
    steps: AsyncIterator[tuple[str, np.ndarray]],
) -> AsyncIterator[bytes]:
    rates = Resampler(services.facts.rate, Format.PCM.rate)
    if first is not None:
        yield encoded(rates.push(first[1]), Format.PCM)
    async for _, sound in steps:
        yield encoded(rates.push(sound), Format.PCM)
    yield encoded(rates.push(np.zeros(0, np.float32), last=True), Format.PCM)


async def transcription(services: Services, owner: str, request: TranscriptionRequest) -> Response:
    """Answer with the words that the model hears. Raises Invalid."""
    limits = services.config.limits
    if request.prompt and len(request.prompt) > limits.text_characters:
        raise Invalid("text_too_long", f"at most {limits.text_characters} characters", "prompt")
    try:
        sound = await asyncio.to_thread(read_file, request.file, SAMPLE_RATE, limits.file_seconds)
    except AudioRefused as error:
        raise Invalid("invalid_audio", str(error), "file") from None
    item = await services.heard(sound)
    text = await services.transcript(owner, item, request.prompt)
    if request.stream:
        done: dict[str, Any] = {"type": "transcript.text.done", "text": text}
        event = f"data: {json.dumps(done)}\n\n"
        return Response(event, media_type="text/event-stream")
    if request.response_format == "text":
        return PlainTextResponse(text)
    return JSONResponse(Transcription(text=text).model_dump(exclude_unset=True))
