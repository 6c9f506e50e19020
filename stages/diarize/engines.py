"""The diarization engines by name."""

from __future__ import annotations

from typing import Any

from wavemill.stages.diarize.campplus import Campplus
from wavemill.stages.diarize.engine import DiarizationEngine
from wavemill.stages.diarize.pyannote import Pyannote

ENGINES: dict[str, type[DiarizationEngine[Any]]] = {
    Campplus.name: Campplus,
    Pyannote.name: Pyannote,
}
