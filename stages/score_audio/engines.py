"""Engines of perceived quality, by name."""

from typing import Any

from wavemill.stages.score_audio.dnsmos import Dnsmos
from wavemill.stages.score_audio.engine import QualityEngine

ENGINES: dict[str, type[QualityEngine[Any]]] = {Dnsmos.name: Dnsmos}
