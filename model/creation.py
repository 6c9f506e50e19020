"""New models: every part random, or the LLM from a text LLM (report section 2.3)."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from wavemill.model.assistant import ACOUSTIC_FOLDER, SEMANTIC_FOLDER
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.io.folders import WeightsError, resolve
from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.from_text import from_text_llm, shaped_like
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.text import RANKS_FILE, TOKENIZERS_FILE, stored_text_tokenizer
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import presets
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.model.tokenizer.vq_encoder import VqEncoder


def create(
    folder: Path,
    name: str,
    text_llm: str | Path | None = None,
    seed: int = 0,
    whisper: str | Path | None = None,
) -> None:
    """Write a whole model of the preset `name` to `folder`, in the published layout, float32.

    With `text_llm`, a Qwen2 or Qwen2.5 folder or hub id, the LLM has its shape, starts from its
    weights, in their dtype, and reads text with its tokenizer. With `whisper`, a folder or hub id,
    the acoustic encoder is that Whisper's, as half of the published model is large-v3's. Raises
    WeightsError, and ValueError for a name without a preset.
    """
    torch.manual_seed(seed)
    semantic, acoustic = presets(name)
    config, encoder = preset(name), None
    if whisper is not None:
        encoder = AcousticEncoder.from_whisper(whisper, torch.float32, acoustic.fill_to_tokens)
        width = {"kimia_adaptor_input_dim": encoder.width}
        config = LlmConfig.model_validate(config.published() | width)
    if text_llm is None:
        AudioLlm(config).save_pretrained(folder)
    else:
        _save_from_text(folder, config, resolve(text_llm), seed)
    SemanticTokenizer(VqEncoder(semantic)).save_pretrained(folder / SEMANTIC_FOLDER)
    (encoder or AcousticEncoder(acoustic)).save_pretrained(folder / ACOUSTIC_FOLDER)
    Detokenizer.from_config(DetokenizerConfig.preset(name)).save_pretrained(folder)


def _save_from_text(folder: Path, base: LlmConfig, text_llm: Path, seed: int) -> None:
    tokenizer = stored_text_tokenizer(text_llm)
    if tokenizer is None:
        raise WeightsError(f"{text_llm} has neither {RANKS_FILE} nor {TOKENIZERS_FILE}")
    config = shaped_like(text_llm, base, tokenizer.vocab_size)
    from_text_llm(text_llm, config, seed).save_pretrained(folder)
    for file in (RANKS_FILE, TOKENIZERS_FILE):
        if (text_llm / file).is_file():
            shutil.copyfile(text_llm / file, folder / file)
