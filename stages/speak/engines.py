"""Engines that speak, by name."""

from typing import Any

from wavemill.stages.speak.engine import SpeakEngine
from wavemill.stages.speak.kokoro import Kokoro
from wavemill.stages.speak.openai_speech import OpenAiSpeech
from wavemill.stages.speak.wavemill import Wavemill

ENGINES: dict[str, type[SpeakEngine[Any]]] = {e.name: e for e in (Kokoro, OpenAiSpeech, Wavemill)}
