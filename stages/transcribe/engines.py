"""Transcribe engines by name."""

from typing import Any

from stages.transcribe.engine import TranscribeEngine
from stages.transcribe.pocketsphinx import PocketSphinx
from stages.transcribe.whisper import Whisper

ENGINES: dict[str, type[TranscribeEngine[Any]]] = {
    PocketSphinx.name: PocketSphinx,
    Whisper.name: Whisper,
}
