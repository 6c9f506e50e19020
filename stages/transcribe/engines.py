"""Transcribe engines by name."""

from typing import Any

from wavemill.stages.transcribe.by_language import ByLanguage
from wavemill.stages.transcribe.engine import TranscribeEngine
from wavemill.stages.transcribe.faster_whisper import FasterWhisper
from wavemill.stages.transcribe.paraformer import Paraformer

ENGINES: dict[str, type[TranscribeEngine[Any]]] = {
    FasterWhisper.name: FasterWhisper,
    Paraformer.name: Paraformer,
    ByLanguage.name: ByLanguage,
}
