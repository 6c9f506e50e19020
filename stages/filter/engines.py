"""Engines of perceived quality, by name."""

from stages.filter.dnsmos import Dnsmos

ENGINES = {Dnsmos.name: Dnsmos}
