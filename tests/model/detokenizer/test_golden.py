"""Numbers of this code on made weights, kept from when it equalled the published one.

python -m tests.model.detokenizer.test_golden    # writes them anew, after a wanted change
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.model.conformance import worst
from tests.model.detokenizer.made import (
    BANDS,
    CONFIG,
    made_audio,
    made_detokenizer,
    scattered,
    tokens_for,
)
from tests.model.detokenizer.published import PublishedDetokenizer, PublishedSettings
from wavemill.model.audio import vocoder_log_mel
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.detokenizer.solver import Noise

FILE = Path(__file__).parents[2] / "data" / "detokenizer_golden.safetensors"
KINDS = {"default": Detokenizer, "published": PublishedDetokenizer}
MODES = tuple(KINDS)
MEL_TOLERANCE = 2e-4  # float32 on another machine
AUDIO_TOLERANCE = 2e-5
VOICE_TOKENS = 8


def made_noise() -> Noise:
    """Return noise that is the same with every version of torch."""
    calls = iter(range(100))
    return lambda frames: 1.7 * scattered(frames * BANDS, 50 + next(calls)).view(frames, BANDS)


def stream_of(mode: str) -> tuple[Tensor, Tensor]:
    """Return mel and audio: a voice, chunks of 8 tokens, a history that overflows."""
    settings = PublishedSettings(
        chunk_tokens=8,
        look_ahead_tokens=3,
        cache_frames=80,
        ode_points=6,
        voice_chunk_frames=20,
        vocoder_context=10,
    )
    detokenizer = made_detokenizer(settings, kind=KINDS[mode])
    voice = detokenizer.voice(tokens_for(VOICE_TOKENS, 1), made_audio(4 * VOICE_TOKENS))
    stream = detokenizer.stream(made_noise(), voice)
    mels, pieces = [], []
    for index in range(4):
        mel = stream.mels.push(tokens_for(8, index), final=index == 3)
        mels.append(mel)
        pieces.append(stream.audio.push(mel, final=index == 3).detach())
    return torch.cat(mels), torch.cat(pieces)


def golden() -> dict[str, Tensor]:
    found = {"mel.sweep": vocoder_log_mel(made_audio(20), CONFIG.vocoder)}
    for mode in MODES:
        found[f"{mode}.mel"], found[f"{mode}.audio"] = stream_of(mode)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_streams(mode: str) -> None:
    mel, audio = stream_of(mode)
    stored = load_file(FILE)
    assert worst(mel, stored[f"{mode}.mel"]) < MEL_TOLERANCE
    assert worst(audio, stored[f"{mode}.audio"]) < AUDIO_TOLERANCE


def test_modes_differ() -> None:
    stored = load_file(FILE)
    assert worst(stored["default.mel"], stored["published.mel"]) > 100 * MEL_TOLERANCE


def test_mel_of_audio() -> None:
    found = vocoder_log_mel(made_audio(20), CONFIG.vocoder)
    assert worst(found, load_file(FILE)["mel.sweep"]) < AUDIO_TOLERANCE


if __name__ == "__main__":
    save_file({name: tensor.contiguous() for name, tensor in golden().items()}, FILE)
