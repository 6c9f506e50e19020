"""A speech server: what it is asked, and its bad answers."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.stages.servers import serving
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.recording_stage import RecordingError
from wavemill.stages.speak.engine import Saying
from wavemill.stages.speak.openai_speech import KEY, OpenAiSpeech, OpenAiSpeechConfig
from wavemill.stages.speak.saying import ClipConfig, said

RATE = 16_000


def tone(seconds: float = 1.0) -> bytes:
    audio = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, format="WAV")
    return file.getvalue()


def engine(url: str, **settings: Any) -> OpenAiSpeech:
    made = OpenAiSpeech(OpenAiSpeechConfig(url=url, first_pause_s=0, timeout_s=5, **settings))
    made.load("cpu")
    return made


def test_a_text_is_asked_for_and_decoded() -> None:
    asked: list[dict[str, Any]] = []

    def answer(body: bytes) -> tuple[int, bytes]:
        asked.append(json.loads(body))
        return 200, tone()

    with serving(answer) as url:
        audio, rate = engine(url, seeds=True).speak(Saying("Hello.", "alloy", 1.2, 7))
    assert rate == RATE
    assert len(audio) == RATE
    assert asked[0]["input"] == "Hello."
    assert (asked[0]["voice"], asked[0]["speed"], asked[0]["seed"]) == ("alloy", 1.2, 7)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"no sound at all", "not_spoken"),
        (200, b"", "not_spoken"),
        (404, b"no such voice", "not_spoken"),
        (503, b"busy", "server_down"),
    ],
)
def test_bad_answers_have_reasons(status: int, body: bytes, reason: str) -> None:
    with serving(lambda _: (status, body)) as url, pytest.raises(RecordingError) as caught:
        said(engine(url), Saying("Hello.", "alloy"), 1.0, ClipConfig())
    assert caught.value.reason == reason


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is for one server, and no other learns it."""
    monkeypatch.setenv(KEY, "secret")
    led: list[bytes] = []

    def elsewhere(body: bytes) -> tuple[int, bytes]:
        led.append(body)
        return 200, tone()

    with (
        serving(elsewhere) as other,
        serving(lambda _: (status, b"go there"), location=other) as url,
        pytest.raises(RecordingError) as caught,
    ):
        said(engine(url), Saying("Hello.", "alloy"), 1.0, ClipConfig())
    assert caught.value.reason == "not_spoken"
    assert not led


def test_a_server_that_is_down_is_not_waited_for_again_and_again() -> None:
    made = engine("http://127.0.0.1:9/v1", tries=2)
    for _ in range(4):
        with pytest.raises(RecordingError):
            said(made, Saying("Hello.", "alloy"), 1.0, ClipConfig())
    assert made._down >= 3


def test_clips_have_even_edges_and_a_peak_below_full_scale() -> None:
    with serving(lambda _: (200, tone())) as url:
        audio, rate = said(engine(url), Saying("Hello.", "alloy"), 1.1, ClipConfig(peak=0.4))
    assert np.abs(audio).max() == pytest.approx(0.4, abs=1e-3)
    assert len(audio) / rate == pytest.approx(1.0 / 1.1 + 0.3, abs=0.03)
    assert not audio[: round(0.14 * rate)].any()


def test_no_server_is_said_before_any_work() -> None:
    with pytest.raises(EngineUnavailable, match=r"speak\.openai_speech\.url"):
        OpenAiSpeech(OpenAiSpeechConfig()).check()
