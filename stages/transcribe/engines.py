"""Transcribe engines by name."""

from stages.transcribe.pocketsphinx import PocketSphinx

ENGINES = {PocketSphinx.name: PocketSphinx}
