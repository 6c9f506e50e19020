"""Entry points: the command line, and one thin module per job."""

from importlib import metadata

from wavemill.jobs.threads import decide_threads

decide_threads()  # before any of the libraries is loaded that read it


def version() -> str:
    """Return the version of the installed distribution."""
    return metadata.version("wavemill")
