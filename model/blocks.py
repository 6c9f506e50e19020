"""The transformer blocks that `transformers` computes as the published models do.

Import them from here: `transformers` itself imports torchaudio where that is installed, and fails
with a build of it that does not fit the installed torch.
"""

from __future__ import annotations

import inspect
from contextlib import suppress

from wavemill.model.torchaudio_import import import_torchaudio

with suppress(ImportError):  # not installed, which is fine with transformers
    import_torchaudio()

from transformers import AttentionInterface, Qwen2Config, WhisperConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperEncoderLayer

# Releases from 5.24 on call a decoder layer's cache `cache`.
_NAMES = inspect.signature(Qwen2DecoderLayer.forward).parameters
CACHE_ARGUMENT = "cache" if "cache" in _NAMES else "past_key_values"

register_attention = AttentionInterface.register

__all__ = [
    "CACHE_ARGUMENT",
    "Qwen2Config",
    "Qwen2DecoderLayer",
    "Qwen2RMSNorm",
    "WhisperConfig",
    "WhisperEncoder",
    "WhisperEncoderLayer",
    "register_attention",
    "sdpa_attention_forward",
]
