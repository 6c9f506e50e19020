"""Raw recordings in, Parquet corpora for audio language models out.

The public API is what `__all__` names; docs/python.md shows it. Each name is imported when it is
first used, so `import wavemill` itself takes milliseconds.

The folders of the project are links in this one, so that nothing of it is importable under a
name that a project of your own may have: `wavemill.pipeline`, `wavemill.model` and so on.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wavemill.pipeline.library.assistant import Assistant
    from wavemill.pipeline.library.batches import batches
    from wavemill.pipeline.library.corpus import Workdir, curate
    from wavemill.pipeline.library.corpus import open_workdir as open
    from wavemill.pipeline.library.sound import AudioError, waveform

    __version__: str

__all__ = [
    "Assistant",
    "AudioError",
    "Workdir",
    "__version__",
    "batches",
    "curate",
    "open",
    "waveform",
]

_PLACES = {
    "Assistant": ("assistant", "Assistant"),
    "AudioError": ("sound", "AudioError"),
    "Workdir": ("corpus", "Workdir"),
    "batches": ("batches", "batches"),
    "curate": ("corpus", "curate"),
    "open": ("corpus", "open_workdir"),
    "waveform": ("sound", "waveform"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("wavemill")
    if name not in _PLACES:
        raise AttributeError(f"module 'wavemill' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = getattr(import_module(f"wavemill.pipeline.library.{module}"), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
