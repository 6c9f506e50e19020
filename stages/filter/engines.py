"""Engines of perceived quality, by name."""

from typing import Any

from wavemill.stages.filter.dnsmos import Dnsmos
from wavemill.stages.filter.quality import QualityEngine

ENGINES: dict[str, type[QualityEngine[Any]]] = {Dnsmos.name: Dnsmos}
