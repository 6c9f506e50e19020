"""The report's choice of transcriber (section 3.1): by the language that Whisper hears.

English is written down by Whisper, Mandarin by Paraformer. A clip in another language has an
empty text, its language and its probability, for the rule `language_not_allowed` to reject it by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared
from wavemill.stages.engine import EngineConfig
from wavemill.stages.transcribe.engine import TranscribeEngine, Transcript
from wavemill.stages.transcribe.faster_whisper import (
    FasterWhisper,
    FasterWhisperConfig,
    LanguageCode,
)
from wavemill.stages.transcribe.paraformer import Paraformer, ParaformerConfig

WHISPER = "whisper"  # in routes, and the section of its settings


class WhisperConfig(FasterWhisperConfig):
    """Settings of engine faster_whisper, with the report's model."""

    model: str = "large-v3"  # one that knows several languages


class ByLanguageConfig(EngineConfig):
    """Which engine writes down which language, and the settings of both.

    `routes` take the place of `whisper.allowed_languages`. Whisper is always there, since it
    identifies the languages; Paraformer is needed (installed, loaded) only where a route leads.
    """

    routes: dict[LanguageCode, Literal["whisper", "paraformer"]] = Field(
        {"en": "whisper", "zh": "paraformer"}
    )
    whisper: WhisperConfig = WhisperConfig()
    paraformer: ParaformerConfig = ParaformerConfig()

    def of_engine(self, name: str) -> tuple[str, ...]:
        """Return the languages that an engine writes down."""
        return tuple(sorted(code for code, engine in self.routes.items() if engine == name))

    def routed(self) -> dict[str, TranscribeEngine[Any]]:
        """Construct the engines that are used."""
        allowed = {"allowed_languages": self.of_engine(WHISPER)}
        whisper = FasterWhisper(self.whisper.model_copy(update=allowed))
        if not self.of_engine(Paraformer.name):
            return {WHISPER: whisper}
        return {WHISPER: whisper, Paraformer.name: Paraformer(self.paraformer)}

    def fingerprinted(self) -> dict[str, Any]:
        """Return the routes, and versions and settings of the engines that are used."""
        engines = self.routed()
        used = {
            name: {"version": engine.version, **engine.config.fingerprinted()}
            for name, engine in engines.items()
        }
        return {"routes": dict(sorted(self.routes.items())), **used}


class ByLanguage(TranscribeEngine[ByLanguageConfig]):
    """Whisper identifies the language of every clip, once; the routed engine writes it down."""

    name = "by_language"
    version = 2
    Config = ByLanguageConfig

    def __init__(self, config: ByLanguageConfig) -> None:
        super().__init__(config)
        self._engines: Mapping[str, TranscribeEngine[Any]] = config.routed()

    @property
    def sample_rate(self) -> int:
        return self._engines[WHISPER].sample_rate

    def weights_identity(self) -> str:
        return " ".join(f"{n}={e.weights_identity()}" for n, e in self._engines.items())

    def pinned(self) -> ByLanguageConfig:
        return self.config.model_copy(
            update={name: engine.pinned() for name, engine in self._engines.items()}
        )

    def weights(self) -> Sequence[Declared]:
        """Those of the engines that are used; their settings are named from this section."""
        return [
            one if isinstance(one, BundledFile) else replace(one, setting=f"{name}.{one.setting}")
            for name, engine in self._engines.items()
            for one in engine.weights()
        ]

    def thresholds(self) -> Mapping[str, float]:
        """Those of the engines that are used; where they differ, the one that rejects less."""
        found: dict[str, float] = {}
        for engine in self._engines.values():
            for name, value in engine.thresholds().items():
                looser = max if name.startswith("max_") else min
                found[name] = looser(value, found.get(name, value))
        return found

    def check_packages(self) -> None:
        for engine in self._engines.values():
            engine.check_packages()

    def check(self) -> None:
        for engine in self._engines.values():
            engine.check()

    def load(self, device: str) -> None:
        for engine in self._engines.values():
            engine.load(device)

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        # Whisper names every language and writes down its own.
        found = self._engines[WHISPER].transcribe(clips)
        others = set(self.config.of_engine(Paraformer.name))
        indices = [i for i, one in enumerate(found) if one.language in others]
        if indices:
            written = self._engines[Paraformer.name].transcribe([clips[i] for i in indices])
            for index, one in zip(indices, written, strict=True):
                heard = found[index]
                found[index] = replace(
                    one,
                    language=heard.language,
                    language_probability=heard.language_probability,
                )
        return found
