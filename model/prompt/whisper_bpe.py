"""The multilingual byte pairs that ship inside `openai-whisper`: 50257 of them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

DISTRIBUTION = "openai-whisper"
TEXT_IDS = 50_257  # without special tokens


class WhisperBpe:
    """A `TextTokenizer`."""

    vocab_size = TEXT_IDS

    def __init__(self) -> None:
        """Raises ModuleNotFoundError when the package is not installed."""
        self.encoding: Any = _tokenizer_module().get_encoding("multilingual")

    def encode(self, text: str) -> list[int]:
        """Return ids; "<|endoftext|>" in a text is plain text, not a special token."""
        return list(self.encoding.encode_ordinary(text))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.encoding.decode(list(ids)))


def _tokenizer_module() -> ModuleType:
    """Return Whisper's tokenizer module, without its package.

    `import whisper` imports torch and numba, which takes seconds; this one file of it needs
    tiktoken only.
    """
    name = f"{__package__}._whisper_tokenizer"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("whisper")
    folders = package.submodule_search_locations if package is not None else None
    file = Path(folders[0]) / "tokenizer.py" if folders else None
    if file is None or not file.is_file():
        raise ModuleNotFoundError(f"package {DISTRIBUTION!r} is not installed")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
