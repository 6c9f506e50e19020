"""Entry points: the command line, and one thin module per job."""

from importlib import metadata


def version() -> str:
    """Return the version of the installed distribution."""
    return metadata.version("wavemill")
