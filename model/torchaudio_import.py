"""Import torchaudio where its compiled library does not fit the installed torch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

LIBRARY_LOADER = "torchaudio._extension.utils"


def import_torchaudio() -> ModuleType:
    """Import torchaudio, without its compiled library if that cannot be loaded.

    PyPI's torchaudio is built against CUDA: beside a CPU build of torch its library misses the
    CUDA libraries, and the import fails as a whole although what pyannote.audio needs of it
    (features, resampling) is Python. torchaudio itself does without the library where its folder
    `lib` holds none, so after a failure it is imported again with that folder out of sight. No
    file is touched, and where the wheels fit the first import succeeds and that is all.

    Raises ImportError when torchaudio is not installed, OSError or ImportError when it fails for
    another reason too.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        raise
    except (OSError, ImportError):
        _forget("torchaudio")
        _hide_library()
        try:
            return importlib.import_module("torchaudio")
        except BaseException:
            _forget("torchaudio")
            raise


def _forget(package: str) -> None:
    """Drop what a failed import left behind."""
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]


def _hide_library() -> None:
    """Put torchaudio's library loader in place beforehand, looking into a folder that is not.

    The module stands under its usual name, where torchaudio's own import finds it.
    """
    package = importlib.util.find_spec("torchaudio")
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        path = Path(folder) / "_extension" / "utils.py"
        spec = importlib.util.spec_from_file_location(LIBRARY_LOADER, path)
        if spec is None or spec.loader is None or not path.is_file():
            continue
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module._LIB_DIR = path.parent / "no_library"  # type: ignore[attr-defined]
        sys.modules[LIBRARY_LOADER] = module
