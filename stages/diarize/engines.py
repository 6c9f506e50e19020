"""The diarization engines by name."""

from __future__ import annotations

from typing import Any

from stages.diarize.diarization import DiarizationEngine
from stages.diarize.pyannote import Pyannote
from stages.diarize.silero import SileroClustering

ENGINES: dict[str, type[DiarizationEngine[Any]]] = {
    SileroClustering.name: SileroClustering,
    Pyannote.name: Pyannote,
}
