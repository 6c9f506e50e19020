"""A whole tiny random model in the published layout."""

from __future__ import annotations

from pathlib import Path

import torch

from model.assistant import ACOUSTIC_FOLDER, SEMANTIC_FOLDER
from model.detokenizer.config import DetokenizerConfig
from model.detokenizer.detokenizer import Detokenizer
from model.llm.config import preset
from model.llm.network import AudioLlm
from model.tokenizer.acoustic import AcousticEncoder
from model.tokenizer.config import presets
from model.tokenizer.semantic import SemanticTokenizer
from model.tokenizer.vq_encoder import VqEncoder


def save_tiny_model(folder: Path) -> None:
    torch.manual_seed(3)
    AudioLlm(preset("tiny")).save_pretrained(folder)
    semantic, acoustic = presets("tiny")
    SemanticTokenizer(VqEncoder(semantic)).save_pretrained(folder / SEMANTIC_FOLDER)
    AcousticEncoder(acoustic).save_pretrained(folder / ACOUSTIC_FOLDER)
    Detokenizer.from_config(DetokenizerConfig.preset("tiny")).save_pretrained(folder)
