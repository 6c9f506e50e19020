"""Whisper's encoder out of CTranslate2's format: the same numbers as CTranslate2 has."""

from __future__ import annotations

import struct
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch

from wavemill.model.audio import whisper_log_mel
from wavemill.model.io.ctranslate2 import encoder_config, encoder_tensors, is_ctranslate2
from wavemill.model.io.folders import WeightsError
from wavemill.model.tokenizer.acoustic import AcousticEncoder
from wavemill.stages.transcribe.faster_whisper_weights import model_folder


@pytest.fixture(scope="module")
def tiny_en() -> Path:
    return model_folder("bundled", None)


def test_frames_are_those_of_ctranslate2(tiny_en: Path) -> None:
    encoder = AcousticEncoder.from_whisper(tiny_en, torch.float32)
    time = torch.arange(16_000 * 30) / 16_000
    sound = 0.1 * torch.sin(2 * torch.pi * 220 * time * (1 + time / 60))
    mels = whisper_log_mel(sound[None], encoder.config.num_mel_bins)
    model = ctranslate2.models.Whisper(str(tiny_en), compute_type="float32", intra_threads=1)
    theirs = model.encode(ctranslate2.StorageView.from_array(mels.numpy()))
    with torch.inference_mode():
        mine = encoder.encode(mels)
    np.testing.assert_allclose(mine.reshape(1, 1500, 384), np.array(theirs), atol=2e-3)


def test_a_saved_copy_gives_the_same_features(tiny_en: Path, tmp_path: Path) -> None:
    encoder = AcousticEncoder.from_whisper(tiny_en, torch.float32, fill_to_tokens=8)
    encoder.save_pretrained(tmp_path)
    assert not is_ctranslate2(tmp_path)
    again = AcousticEncoder.from_pretrained(tmp_path)
    sound = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32))
    with torch.inference_mode():
        assert torch.equal(encoder.features([sound])[0], again.features([sound])[0])
    assert again.features([sound])[0].shape == (8, 4 * 384)


def write(path: Path, tensors: list[tuple[str, int, bytes]], kind: str = "WhisperSpec") -> None:
    """Write a file of one-dimensional tensors: name, number of the dtype, data."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    content = struct.pack("<I", 6) + text(kind) + struct.pack("<II", 3, len(tensors))
    for name, dtype, data in tensors:
        content += text(name) + struct.pack("<BIBI", 1, len(data), dtype, len(data)) + data
    path.mkdir()
    (path / "model.bin").write_bytes(content)


@pytest.mark.parametrize(
    ("tensors", "kind", "message"),
    [
        ([("encoder/conv1/weight", 1, b"1234")], "WhisperSpec", "is quantized"),
        ([("decoder/x", 0, b"1234")], "WhisperSpec", "encoder/conv1/weight is missing"),
        ([], "TransformerSpec", "is not a Whisper model"),
    ],
)
def test_what_is_no_whisper(
    tmp_path: Path, tensors: list[tuple[str, int, bytes]], kind: str, message: str
) -> None:
    write(tmp_path / "model", tensors, kind)
    with pytest.raises(WeightsError, match=message):
        encoder_config(tmp_path / "model")


def test_a_file_that_ends_early(tmp_path: Path, tiny_en: Path) -> None:
    whole = (tiny_en / "model.bin").read_bytes()
    for size in (0, 3, 40, 100, 200_000, len(whole) // 2):
        (tmp_path / "model.bin").write_bytes(whole[:size])
        with pytest.raises(WeightsError, match=r"model\.bin"):
            encoder_tensors(tmp_path)
