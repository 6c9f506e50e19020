"""The multilingual byte-pair encoding that ships inside `openai-whisper`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from stages.engine import EngineConfig, EngineUnavailable, package_identity
from stages.tokenize.engine import TextTokenizeEngine

DISTRIBUTION = "openai-whisper"
REMEDY = f"package {DISTRIBUTION!r} is not installed; remedy: pip install {DISTRIBUTION}"


class WhisperBpe(TextTokenizeEngine[EngineConfig]):
    """Ids of `whisper.tokenizer.get_tokenizer(multilingual=True)`."""

    name = "whisper_bpe"
    version = 1
    packages = (DISTRIBUTION,)

    _encoding: Any = None

    @property
    def vocab_size(self) -> int:
        return int(self._encoding.n_vocab)

    def weights_identity(self) -> str:
        return package_identity(DISTRIBUTION)

    def load(self, device: str) -> None:
        """Build the encoding; `device` does not matter."""
        del device
        self._encoding = tokenizer_module().get_encoding("multilingual")

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return ids; "<|endoftext|>" in a text is encoded letter by letter, never as a token."""
        return [list(self._encoding.encode_ordinary(text)) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._encoding.decode(list(ids)))


def tokenizer_module() -> ModuleType:
    """Return Whisper's tokenizer module, without its package.

    `import whisper` imports torch and numba, which takes seconds; this one file of it needs
    tiktoken only. Raises EngineUnavailable.
    """
    package = importlib.util.find_spec("whisper")
    if package is None or not package.submodule_search_locations:
        raise EngineUnavailable(REMEDY)
    file = Path(package.submodule_search_locations[0]) / "tokenizer.py"
    name = "stages.tokenize._whisper_tokenizer"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise EngineUnavailable(REMEDY)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
