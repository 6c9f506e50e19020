"""The version of the installed distribution, as files of a WORKDIR name it."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    return metadata.version("wavemill")
