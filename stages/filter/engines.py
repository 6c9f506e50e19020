"""Engines of perceived quality, by name."""

from wavemill.stages.filter.dnsmos import Dnsmos

ENGINES = {Dnsmos.name: Dnsmos}
