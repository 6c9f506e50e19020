"""Raw recordings in, Parquet corpora for audio language models out.

The folders of the project are links in this one, so that nothing of it is importable under a
name that a project of your own may have: `wavemill.pipeline`, `wavemill.model` and so on.
"""

from importlib import metadata as _metadata

__all__ = ["__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _metadata.version("wavemill")
    raise AttributeError(f"module 'wavemill' has no attribute {name!r}")
