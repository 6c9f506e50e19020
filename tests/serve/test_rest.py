"""The unmodified client of OpenAI on the REST interfaces."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import soundfile

from tests.serve.conftest import TOKENS
from tests.serve.support import RATE, client, speech


def wav(seconds: float = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech(seconds), RATE, format="WAV")
    return file.getvalue()


def spoken(form: str) -> list[Any]:
    data = {"data": base64.b64encode(wav()).decode(), "format": form}
    return [{"role": "user", "content": [{"type": "input_audio", "input_audio": data}]}]


def test_text_in_and_out(port: int) -> None:
    async def ask() -> None:
        answer = await client(port).chat.completions.create(
            model="any", messages=[{"role": "user", "content": "hello"}], max_completion_tokens=4
        )
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert answer.usage is not None
        assert answer.usage.completion_tokens <= 4

    asyncio.run(ask())


def test_speech_in_and_out_and_the_conversation_goes_on_by_its_id(port: int) -> None:
    async def ask() -> None:
        create: Any = client(port).chat.completions.create
        options: Any = {"model": "any", "modalities": ["text", "audio"]}
        answer = await create(
            messages=spoken("wav"), audio={"voice": "any", "format": "wav"}, **options
        )
        said = answer.choices[0].message.audio
        sound, rate = soundfile.read(io.BytesIO(base64.b64decode(said.data)))
        assert (rate, len(sound) % 1920) == (RATE, 0)
        messages = [
            *spoken("wav"),
            {"role": "assistant", "audio": {"id": said.id}},
            {"role": "user", "content": "and now?"},
        ]
        stream = await create(
            messages=messages,
            audio={"voice": "any", "format": "pcm16"},
            stream=True,
            stream_options={"include_usage": True},
            **options,
        )
        chunks = [chunk async for chunk in stream]
        audio = [c.choices[0].delta.audio for c in chunks if c.choices and c.choices[0].delta.audio]
        pcm = b"".join(base64.b64decode(part.data or "") for part in audio)
        tokens = chunks[-1].usage.completion_tokens_details.audio_tokens
        assert len(pcm) == tokens * 1920 * 2
        assert chunks[-1].usage.prompt_tokens > answer.usage.prompt_tokens + tokens - 1
        with pytest.raises(openai.NotFoundError, match="not kept"):
            await create(
                messages=[{"role": "assistant", "audio": {"id": "audio_other"}}], **options
            )

    asyncio.run(ask())


def test_speech_and_transcriptions(port: int) -> None:
    async def ask() -> None:
        audio = client(port).audio
        for form in ("wav", "flac", "mp3", "opus"):
            made = await audio.speech.create(
                model="any", voice="any", input="seven", response_format=form
            )
            sound, _ = soundfile.read(io.BytesIO(made.content))
            assert len(sound) > 1920
        pcm = await audio.speech.create(
            model="any", voice="any", input="seven", response_format="pcm"
        )
        assert len(pcm.content) % (1920 * 2) == 0
        text = await audio.transcriptions.create(model="any", file=("a.wav", wav()))
        assert len(text.text.encode()) <= 4 * TOKENS

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#EXTM3U\nhttp://127.0.0.1:9/a.wav\n", "none of WAV"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "none of WAV"),
        (b"RIFF\x00\x00\x00\x00WAVE" + b"\x00" * 40, "wav"),
        (b"", "none of WAV"),
    ],
)
def test_files_that_are_no_audio_are_refused(port: int, content: bytes, said: str) -> None:
    async def ask() -> None:
        with pytest.raises(openai.BadRequestError, match=said):
            await client(port).audio.transcriptions.create(model="any", file=("a.wav", content))

    asyncio.run(ask())


def test_what_is_too_large_is_refused(port: int) -> None:
    async def ask() -> None:
        many = np.zeros(1 << 20, np.uint8).tobytes()
        with pytest.raises(openai.APIStatusError) as caught:
            await client(port).audio.transcriptions.create(model="any", file=("a.wav", many))
        assert caught.value.status_code == 413

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b"[" * 100_000, 400), (b'{"messages": 3}', 400), (b"{}", 400)],
)
def test_wrong_bodies_are_answered(port: int, body: bytes, status: int) -> None:
    place = f"http://127.0.0.1:{port}/v1/chat/completions"
    answer = httpx2.post(place, content=body)
    assert answer.status_code == status
    assert answer.json()["error"]["code"]


def test_pages_of_others_and_names_that_lead_here_are_refused(port: int) -> None:
    place = f"http://127.0.0.1:{port}/v1/models"
    assert httpx2.get(place).status_code == 200
    assert httpx2.get(place, headers={"Origin": "http://example.org"}).status_code == 403
    assert httpx2.get(place, headers={"Host": "example.org"}).status_code == 403
    own = {"Origin": f"http://127.0.0.1:{port}"}
    assert httpx2.get(place, headers=own).status_code == 200


def test_figures(port: int) -> None:
    text = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
    assert "wavemill_sessions{" in text
    assert "wavemill_first_audio_seconds_bucket{" in text
