"""The unmodified client of OpenAI holds a conversation."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import numpy as np
import pytest

from tests.serve.conftest import TOKENS
from tests.serve.support import RATE, audio_of, client, say, silence, speech, turns, until, update
from wavemill.serve.audio.formats import Format, decoded

BY_HAND = turns(None)
BY_VOICE = turns({"type": "server_vad"})


def test_ten_turns(port: int) -> None:
    """By voice, by hand and in writing, with an interruption; each turn reads all before it."""

    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            read: list[int] = []
            for turn in range(10):
                seen: list[Any] = []
                if turn % 3 == 0:
                    await update(connection, audio=BY_VOICE)
                    await say(connection, np.concatenate([speech(), silence(1)]))
                elif turn % 3 == 1:
                    await update(connection, audio=BY_HAND)
                    await say(connection, speech(1))
                    await connection.input_audio_buffer.commit()
                    await connection.response.create()
                else:
                    content: Any = [{"type": "input_text", "text": f"turn {turn}"}]
                    await connection.conversation.item.create(
                        item={"type": "message", "role": "user", "content": content}
                    )
                    await connection.response.create()
                done = (await until(connection, "response.done", seen)).response
                assert done.status in ("completed", "incomplete")
                kinds = [event.type for event in seen]
                assert kinds.index("response.created") < kinds.index("response.output_audio.delta")
                samples = len(audio_of(seen)) // 2
                assert samples == done.usage.output_token_details.audio_tokens * 1920
                read.append(done.usage.input_tokens)
            assert read == sorted(set(read))

    asyncio.run(talk())


def test_speech_interrupts_a_reply(port: int) -> None:
    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            await say(connection, np.concatenate([speech(), silence(1)]))
            first = await until(connection, "response.output_audio.delta")
            heard_at = time.monotonic()
            await say(connection, np.concatenate([speech(), silence(1)]))
            await until(connection, "input_audio_buffer.speech_started")
            cut = await until(connection, "conversation.item.truncated")
            assert cut.item_id == first.item_id
            assert cut.audio_end_ms <= (time.monotonic() - heard_at) * 1000 + 500
            # The second turn is answered, and reads what was heard of the first answer.
            seen: list[Any] = []
            done = await until(connection, "response.done", seen)
            if done.response.status == "cancelled":
                assert done.response.status_details.reason == "turn_detected"
                done = await until(connection, "response.done", seen)
            assert done.response.status in ("completed", "incomplete")

    asyncio.run(talk())


def test_silence_and_noise_never_start_a_turn(port: int) -> None:
    noise = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)

    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            await say(connection, np.concatenate([silence(2), noise * 0.05, noise * 0.3]))
            await connection.input_audio_buffer.clear()
            seen: list[Any] = []
            await until(connection, "input_audio_buffer.cleared", seen)
            assert [event.type for event in seen] == ["input_audio_buffer.cleared"]

    asyncio.run(talk())


def test_a_reply_is_cancelled_and_truncated_by_the_client(port: int) -> None:
    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            await update(connection, audio=BY_HAND)
            await say(connection, speech(1))
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            await until(connection, "response.created")
            await connection.response.cancel()
            done = (await until(connection, "response.done")).response
            assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
            await connection.response.create()
            done = (await until(connection, "response.done")).response
            (item,) = done.output
            await connection.conversation.item.truncate(
                item_id=item.id, content_index=0, audio_end_ms=160
            )
            assert (await until(connection, "conversation.item.truncated")).audio_end_ms == 160
            await connection.conversation.item.retrieve(item_id=item.id)
            kept = (await until(connection, "conversation.item.retrieved")).item
            assert len(kept.content[0].transcript) < max(1, len(item.content[0].transcript))
            await connection.conversation.item.delete(item_id=item.id)
            await until(connection, "conversation.item.deleted")

    asyncio.run(talk())


@pytest.mark.parametrize("form", [Format.MU_LAW, Format.A_LAW])
def test_telephone_audio_both_ways(port: int, form: Format) -> None:
    wanted = {"type": form.value}

    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            session = await update(
                connection,
                audio={
                    "input": {"format": wanted, "turn_detection": None},
                    "output": {"format": wanted},
                },
            )
            assert session.audio.output.format.type == form.value
            await say(connection, speech(1, form.rate), form)
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            seen: list[Any] = []
            done = (await until(connection, "response.done", seen)).response
            assert done.usage.input_token_details.audio_tokens == 13
            sound = decoded(audio_of(seen), form)
            tokens = done.usage.output_token_details.audio_tokens
            assert abs(len(sound) - tokens * 640) <= 1
            assert np.abs(sound).max() > 0

    asyncio.run(talk())


def test_text_replies_limits_and_replies_outside_the_conversation(port: int) -> None:
    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            session = await update(connection, output_modalities=["text"], instructions="Be short.")
            assert session.instructions == "Be short."
            content: Any = [{"type": "input_text", "text": "hello"}]
            item: Any = {"type": "message", "role": "user", "content": content}
            await connection.response.create(
                response={"input": [item], "conversation": "none", "max_output_tokens": 3}
            )
            done = (await until(connection, "response.done")).response
            assert done.conversation_id is None
            assert done.usage.output_tokens <= 3
            assert done.output[0].content[0].type == "output_text"
            await connection.response.create()
            # The instructions are there, so there is something to answer.
            done = (await until(connection, "response.done")).response
            assert done.usage.output_token_details.audio_tokens == 0

    asyncio.run(talk())


def test_what_the_user_said_is_written_down(port: int) -> None:
    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            audio = {"input": {"turn_detection": None, "transcription": {"model": "any"}}}
            await update(connection, audio=audio)
            await say(connection, speech(1))
            await connection.input_audio_buffer.commit()
            kind = "conversation.item.input_audio_transcription.completed"
            written = await until(connection, kind)
            assert written.usage.seconds == pytest.approx(1, abs=0.1)
            assert len(written.transcript.encode()) <= 4 * TOKENS

    asyncio.run(talk())


def test_wrong_events_are_answered_and_the_session_goes_on(port: int) -> None:
    async def talk() -> None:
        async with client(port).realtime.connect(model="any") as connection:
            await until(connection, "conversation.created")
            wrong: list[tuple[dict[str, Any], str]] = [
                ({"type": "nothing"}, "unknown_event"),
                ({"type": "response.cancel"}, "response_cancel_not_active"),
                ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
                ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_base64"),
                ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_audio"),
                ({"type": "conversation.item.delete", "item_id": "no"}, "item_not_found"),
                ({"type": "response.create"}, "conversation_empty"),
                ({"type": "session.update", "session": {"type": "realtime", "tools": [
                    {"type": "function", "name": "f"}]}}, "unsupported_value"),
            ]  # fmt: skip
            for event, code in wrong:
                await connection.send({**event, "event_id": "mine"})  # type: ignore[arg-type]
                found = await anext(aiter(connection))
                assert (found.type, found.error.code) == ("error", code), found
                assert found.error.event_id == "mine"
            too_long = base64.b64encode(bytes(1 << 20)).decode()
            await connection.send({"type": "input_audio_buffer.append", "audio": too_long})
            found = await anext(aiter(connection))
            assert found.error.code == "event_too_large"
            await update(connection, instructions="still here")

    asyncio.run(talk())
