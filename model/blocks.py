"""The transformer blocks that `transformers` computes as the published models do.

`transformers` is imported when the first block is asked for, since its import takes seconds: write
`from wavemill.model import blocks` and `blocks.Qwen2RMSNorm(...)`. Import them from here, because
`transformers` itself imports torchaudio where that is installed, and fails with a build of it that
does not fit the installed torch.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wavemill.model.torchaudio_import import import_torchaudio

if TYPE_CHECKING:
    from transformers import Qwen2Config, WhisperConfig
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm
    from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperEncoderLayer

__all__ = [
    "Qwen2Config",
    "Qwen2DecoderLayer",
    "Qwen2RMSNorm",
    "WhisperConfig",
    "WhisperEncoder",
    "WhisperEncoderLayer",
    "cache_argument",
    "prepare_transformers",
    "register_attention",
    "sdpa_attention_forward",
]

_MODULES = {
    "Qwen2Config": "transformers",
    "Qwen2DecoderLayer": "transformers.models.qwen2.modeling_qwen2",
    "Qwen2RMSNorm": "transformers.models.qwen2.modeling_qwen2",
    "WhisperConfig": "transformers",
    "WhisperEncoder": "transformers.models.whisper.modeling_whisper",
    "WhisperEncoderLayer": "transformers.models.whisper.modeling_whisper",
    "sdpa_attention_forward": "transformers.integrations.sdpa_attention",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    prepare_transformers()
    found = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


@cache
def cache_argument() -> str:
    """Return what a decoder layer calls its cache: releases from 5.24 on say `cache`."""
    import inspect

    names = inspect.signature(__getattr__("Qwen2DecoderLayer").forward).parameters
    return "cache" if "cache" in names else "past_key_values"


def register_attention(name: str, function: Any) -> None:
    """Make a function known to decoder layers whose configuration names it."""
    prepare_transformers()
    from transformers import AttentionInterface

    AttentionInterface.register(name, function)


@cache
def prepare_transformers() -> None:
    """Import torchaudio as it can be imported here; call it before `import transformers`."""
    with suppress(ImportError):  # not installed, which is fine with transformers
        import_torchaudio()
