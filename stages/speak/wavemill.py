"""This project's own model: an LLM that reads aloud in the voice of a recording it never heard."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.resample import resample
from wavemill.stages.engine import EngineConfig, EngineUnavailable
from wavemill.stages.speak.engine import NotSpoken, Saying, SpeakEngine, UnknownVoice
from wavemill.stages.speak.lru_cache import LruCache
from wavemill.stages.speak.voices import read_samples
from wavemill.stages.weights import sha256_of_file

RATE = 16_000  # of the model's ears
KEPT_VOICES = 16


class WavemillConfig(EngineConfig):
    """Which model speaks, in which voices, and how it draws."""

    weights_fields: ClassVar[frozenset[str]] = frozenset({"model", "detokenizer", "voices"})

    model: Path | None = None  # folder: pre-trained on `tts` or `tts_with_reference`
    detokenizer: Path | None = None  # folder; by default the model's own
    voices: Path | None = None  # a file of `wavemill voices`; cast.voices names the same
    temperature: float = Field(0.8, ge=0)  # of semantic tokens
    longest_s: float = Field(30.0, gt=0)  # of a text; what would be longer is cut


class Wavemill(SpeakEngine[WavemillConfig]):
    """Each text alone, behind the sound and the words of its voice; it has no pace of its own."""

    name = "wavemill"
    version = 1
    Config = WavemillConfig
    packages = ("transformers", "tiktoken")
    extra = "model"

    def weights_identity(self) -> str:
        """Return a hash of the folders' files and of the voices."""
        digest = hashlib.sha256()
        for place in (self._needed("model"), self.config.detokenizer, self._needed("voices")):
            if place is None:
                continue
            files = [place] if place.is_file() else sorted(f for f in place.rglob("*"))
            for file in files:
                if file.is_file():
                    digest.update(sha256_of_file(file).encode())
        return f"sha256:{digest.hexdigest()}"

    def load(self, device: str) -> None:
        import torch

        from wavemill.model.assistant import Assistant
        from wavemill.model.io.folders import WeightsError

        self._samples = read_samples(self._needed("voices"))
        try:
            self._assistant: Any = Assistant.from_pretrained(
                self._needed("model"), device, speaks=True, detokenizer=self.config.detokenizer
            )
        except WeightsError as error:
            raise EngineUnavailable(f"speak.wavemill: {error}") from None
        self._voices: LruCache[str, tuple[Any, Any]] = LruCache(KEPT_VOICES)
        torch.set_num_threads(1)

    def speak(self, saying: Saying) -> tuple[np.ndarray, int]:
        from wavemill.model.generate.settings import GenerateSettings, Sampling

        if saying.pace != 1.0:
            raise NotSpoken(
                "engine 'wavemill' has a pace of its own; remedy: cast.pace=0 and cast.pitch=0"
            )
        steps = round(self.config.longest_s * 12.5)
        settings = GenerateSettings(
            audio=Sampling(temperature=self.config.temperature),
            max_new_tokens=steps,
            seed=saying.seed,
        )
        history, reference = self._voice(saying.voice)
        try:
            (sound,) = self._assistant.say_all([saying.text], settings, history, reference)
        except ValueError as error:  # a text without tokens, or longer than the model's context
            raise NotSpoken(str(error)) from None
        rate = self._assistant.detokenizer.config.vocoder.sampling_rate
        return np.asarray(sound.numpy(), np.float32), rate

    def _voice(self, name: str) -> tuple[Any, Any]:
        """Return what detokenizer and LLM need of a voice; the last ones are kept."""
        if name not in self._samples:
            known = sorted(self._samples)
            shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
            raise UnknownVoice(f"{self.config.voices} has no voice {name!r}; it has {shown}")
        found = self._voices.get(name)
        if found is None:
            row = self._samples[name]
            sound, rate = decode_flac(row["audio"])
            heard = resample(sound, rate, RATE)
            played = self._assistant.detokenizer.config.vocoder.sampling_rate
            try:
                history = self._assistant.voice(heard, resample(sound, rate, played))
                reference = self._assistant.reference(heard, row["text"])
            except ValueError as error:
                raise UnknownVoice(f"voice {name!r} cannot be used: {error}") from None
            found = history, reference
            self._voices.keep(name, found)
        return found

    def _needed(self, name: str) -> Path:
        place: Path | None = getattr(self.config, name)
        if place is None or not place.exists():
            problem = "is not set" if place is None else f"is {place}, which is not there"
            raise EngineUnavailable(
                f"engine 'wavemill': speak.wavemill.{name} {problem}; remedy: model is a folder "
                "that `wavemill train pretrain` made, voices a file of `wavemill voices`"
            )
        return place
