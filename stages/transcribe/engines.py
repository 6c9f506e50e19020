"""Transcribe engines by name."""

from typing import Any

from wavemill.stages.transcribe.by_language import ByLanguage
from wavemill.stages.transcribe.engine import TranscribeEngine
from wavemill.stages.transcribe.faster_whisper import FasterWhisper
from wavemill.stages.transcribe.paraformer import Paraformer
from wavemill.stages.transcribe.pocketsphinx import PocketSphinx
from wavemill.stages.transcribe.whisper import Whisper

ENGINES: dict[str, type[TranscribeEngine[Any]]] = {
    PocketSphinx.name: PocketSphinx,
    FasterWhisper.name: FasterWhisper,
    Whisper.name: Whisper,
    Paraformer.name: Paraformer,
    ByLanguage.name: ByLanguage,
}
