"""Transcribe engines by name."""

from typing import Any

from stages.transcribe.by_language import ByLanguage
from stages.transcribe.engine import TranscribeEngine
from stages.transcribe.paraformer import Paraformer
from stages.transcribe.pocketsphinx import PocketSphinx
from stages.transcribe.whisper import Whisper

ENGINES: dict[str, type[TranscribeEngine[Any]]] = {
    PocketSphinx.name: PocketSphinx,
    Whisper.name: Whisper,
    Paraformer.name: Paraformer,
    ByLanguage.name: ByLanguage,
}
