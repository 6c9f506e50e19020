"""All formats by name. To add one: a file with a subclass of Format, and its line here."""

from __future__ import annotations

from wavemill.pipeline.export.format import Format
from wavemill.pipeline.export.kimi_jsonl import KimiJsonl
from wavemill.pipeline.export.messages import Messages
from wavemill.pipeline.export.stereo import Stereo

FORMATS: dict[str, type[Format]] = {one.name: one for one in (KimiJsonl, Messages, Stereo)}
