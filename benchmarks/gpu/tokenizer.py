"""Part (d): semantic tokens and acoustic features, in hours of audio an hour."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.gpu.rows import Row, Setting
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import presets
from wavemill.model.tokenizer.pieces import SAMPLE_RATE
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.model.tokenizer.vq_encoder import VqEncoder

SEGMENTS_S = (27, 12, 5, 2)  # lengths of segments, in turn


@torch.inference_mode()
def rows(setting: Setting) -> Iterator[Row]:
    semantic, acoustic = presets(setting.preset)
    lengths = SEGMENTS_S * 16 if setting.cuda else SEGMENTS_S[-1:]
    waveforms = [0.1 * torch.randn(seconds * SAMPLE_RATE) for seconds in lengths]
    with torch.device(setting.device):
        tokenizer = SemanticTokenizer(VqEncoder(semantic).eval())
        encoder = AcousticEncoder(acoustic).eval()
    repeats = setting.of(2, 1)
    seconds = setting.seconds(lambda: tokenizer.encode(waveforms), repeats)
    yield Row("semantic tokens, fp32", sum(lengths) / seconds, "h/h")
    if setting.cuda:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        seconds = setting.seconds(lambda: tokenizer.encode(waveforms), repeats)
        yield Row("semantic tokens, TF32", sum(lengths) / seconds, "h/h")
    encoder.to(setting.dtype)
    seconds = setting.seconds(lambda: encoder.features(waveforms), repeats)
    yield Row("acoustic features", sum(lengths) / seconds, "h/h")
