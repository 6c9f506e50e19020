"""A small Paraformer of random weights, saved in the package's own format."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from wavemill.model.torchaudio_import import import_torchaudio
from wavemill.stages.transcribe.paraformer_weights import NEEDED, imported

RATE = 16_000
CHARACTERS = (
    "的一是不了在人有我他这中大来上国和也子时道说出而要于就下得可你年生自会那后能对着事其里所去行过"
)
TOKENS = ["<blank>", "<s>", "</s>", *CHARACTERS, "<unk>"]
SIZE, INPUT_SIZE = 32, 560
PART = {"attention_heads": 2, "linear_units": 48, "num_blocks": 2, "kernel_size": 11}
LAYERS: dict[str, Any] = {
    "encoder": "SANMEncoder",
    "encoder_conf": {
        **PART,
        "output_size": SIZE,
        "input_layer": "pe",
        "pos_enc_class": "SinusoidalPositionEncoder",
        "selfattention_layer_type": "sanm",
        "sanm_shfit": 0,
    },
    "decoder": "ParaformerSANMDecoder",
    "decoder_conf": {**PART, "att_layer_num": 2},
    "seaco_decoder": "ParaformerSANMDecoder",
    "seaco_decoder_conf": {**PART, "att_layer_num": 2, "use_output_layer": False},
    "predictor": "CifPredictorV3",
    "predictor_conf": {
        "idim": SIZE,
        "l_order": 1,
        "r_order": 1,
        "tail_threshold": 0.45,
        "smooth_factor2": 0.25,
        "noise_threshold2": 0.01,
        "upsample_times": 3,
        "upsample_type": "cnn_blstm",
        "use_cif1_cnn": False,
    },
}
CONFIG: dict[str, Any] = {
    **LAYERS,
    "model": "SeacoParaformer",
    "model_conf": {"ctc_weight": 0.0, "predictor_bias": 1, "inner_dim": SIZE, "NO_BIAS": 3},
    "frontend": "WavFrontend",
    "frontend_conf": {"fs": RATE, "window": "hamming", "lfr_m": 7, "lfr_n": 6, "dither": 0.0},
    "tokenizer": "CharTokenizer",
    "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
}


def package(name: str, module: str) -> Any:
    """Return a name of a module of funasr, or skip the test where it is not installed."""
    if find_spec("funasr") is None:
        pytest.skip("funasr is not installed (extra paraformer)")
    import_torchaudio()
    return imported({name: module})[name]


def random_paraformer(folder: Path) -> Path:
    """Save a model that writes a character in every few frames."""
    model_class = package("SeacoParaformer", "models.seaco_paraformer.model")
    for name, module in NEEDED.items():
        package(name, module)  # into the package's tables
    torch.manual_seed(3)
    model = model_class(
        **CONFIG["model_conf"], **LAYERS, vocab_size=len(TOKENS), input_size=INPUT_SIZE
    )
    with torch.no_grad():
        model.predictor.cif_output.weight *= 8  # so that frames differ ...
        model.predictor.cif_output2.weight *= 8
        model.decoder.output_layer.weight *= 6  # ... and the likeliest token is clear
        model.decoder.output_layer.bias[[0, 1, 2, -1]] = -100.0  # nothing special is written
    folder.mkdir()
    torch.save(model.state_dict(), folder / "model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    (folder / "tokens.json").write_text(json.dumps(TOKENS), encoding="utf-8")
    shift, scale = (" ".join([value] * INPUT_SIZE) for value in ("-8.0", "0.25"))
    (folder / "am.mvn").write_text(
        f"<Nnet>\n<AddShift>\n<LearnRateCoef> 0 [ {shift} ]\n"
        f"<Rescale>\n<LearnRateCoef> 0 [ {scale} ]\n</Nnet>\n",
        encoding="utf-8",
    )
    return folder


def murmur(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose level and colour change a few times a second."""
    random = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        part = random.standard_normal(int(RATE * random.uniform(0.1, 0.4)))
        width = random.integers(1, 12)
        parts.append(np.convolve(part, np.ones(width) / width, "same") * random.choice([0.01, 0.3]))
    return np.concatenate(parts)[: int(seconds * RATE)].astype(np.float32)
