from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wavemill.model.audio import whisper_log_mel
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.model.tokenizer.config import EncoderConfig, VqConfig, presets
from wavemill.model.tokenizer.pieces import PIECE_SAMPLES, tokens_in
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.model.tokenizer.vq_encoder import VqEncoder

LENGTHS = [0, 1, 159, 1280, 1281, 2560, 16_000, 20_480, 480_000, 480_001, 500_480]


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in LENGTHS]


@pytest.fixture(scope="module")
def tokenizer() -> SemanticTokenizer:
    torch.manual_seed(0)
    return SemanticTokenizer(VqEncoder(presets("tiny")[0]).eval())


def test_any_length_and_any_company(tokenizer: SemanticTokenizer, clips: list[np.ndarray]) -> None:
    together = tokenizer.encode(clips)
    assert [len(codes) for codes in together] == [tokens_in(length) for length in LENGTHS]
    for clip, codes in zip(clips, together, strict=True):
        assert np.array_equal(codes, tokenizer.encode([clip])[0])
    few = SemanticTokenizer(tokenizer.network, frames_at_once=1)  # one piece a batch
    assert all(map(np.array_equal, few.encode(clips), together))


def test_long_waveform_is_its_pieces(tokenizer: SemanticTokenizer, clips: list[np.ndarray]) -> None:
    long = np.concatenate([clips[8], clips[6]])
    first, rest = (tokenizer.encode([clip])[0] for clip in (clips[8], clips[6]))
    found = tokenizer.encode([long])[0]
    assert np.array_equal(found[:375], first)
    # All but the last token, behind which a waveform ends in one case and is silent in the other.
    assert np.array_equal(found[375:-1], rest[:-1])


def test_what_is_saved_is_read(
    tokenizer: SemanticTokenizer, clips: list[np.ndarray], tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path / "semantic")
    read = SemanticTokenizer.from_pretrained(tmp_path / "semantic")
    assert np.array_equal(read.encode(clips[6:7])[0], tokenizer.encode(clips[6:7])[0])
    acoustic = AcousticEncoder(presets("tiny")[1]).eval()
    acoustic.save_pretrained(tmp_path / "acoustic")
    again = AcousticEncoder.from_pretrained(tmp_path / "acoustic")
    assert torch.equal(again.features(clips[6:7])[0], acoustic.features(clips[6:7])[0])


def test_features_have_a_row_per_token_and_gradients(clips: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    acoustic = AcousticEncoder(presets("tiny")[1])
    features = acoustic.features(clips[:8])
    assert [len(rows) for rows in features] == [tokens_in(length) for length in LENGTHS[:8]]
    assert features[0].shape == (0, acoustic.width)
    features[6].sum().backward()
    assert acoustic.encoder.conv1.weight.grad is not None


def test_features_depend_on_their_own_waveform_alone(clips: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    acoustic = AcousticEncoder(presets("tiny")[1]).eval()
    few = [clips[i] for i in (6, 3, 7, 4, 2, 8)]
    with torch.inference_mode():
        for together, clip in zip(acoustic.features(few), few, strict=True):
            torch.testing.assert_close(together, acoustic.features([clip])[0], rtol=1e-4, atol=1e-5)


def test_the_encoder_computes_what_transformers_does() -> None:
    torch.manual_seed(0)
    acoustic = AcousticEncoder(presets("tiny")[1]).eval()
    piece = 0.1 * torch.randn(1, PIECE_SAMPLES)
    with torch.inference_mode():
        frames = acoustic.encoder(whisper_log_mel(piece)).last_hidden_state
        torch.testing.assert_close(acoustic(piece), frames.reshape(1, 375, -1))


def test_only_a_short_fill_is_written_down() -> None:
    published, tiny = (presets(name)[1] for name in ("published", "tiny"))
    assert "fill_to_tokens" not in published.published()
    assert EncoderConfig.model_validate(tiny.published()).fill_to_tokens == tiny.fill_to_tokens


def test_config_must_fit() -> None:
    with pytest.raises(ValueError, match="pooling comes before the codebook"):
        VqConfig.model_validate(presets("tiny")[0].model_dump() | {"pooling_position": 3})
    with pytest.raises(ValueError, match="no configuration 'huge'"):
        presets("huge")
