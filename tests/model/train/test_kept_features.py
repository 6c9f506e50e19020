from __future__ import annotations

import torch
from torch import Tensor

from wavemill.model.train.kept_features import KeptFeatures


def test_each_sound_is_encoded_once_until_the_encoder_changes() -> None:
    asked: list[float] = []

    def encode(mel: Tensor) -> Tensor:
        asked.append(float(mel.sum()))
        return mel.transpose(1, 2) * 2

    kept, mels = KeptFeatures(1.0), torch.arange(12.0).reshape(3, 2, 2)
    first = kept.of(mels, encode)
    again = kept.of(mels[[2, 0]], encode)
    assert len(asked) == 3
    assert torch.equal(again[0], first[2])
    assert torch.equal(again[1], mels[0].T * 2)
    kept.clear()
    kept.of(mels[:1], encode)
    assert len(asked) == 4


def test_what_was_used_last_stays() -> None:
    asked: list[int] = []

    def encode(mel: Tensor) -> Tensor:
        asked.append(int(mel[0, 0, 0]))
        return torch.zeros(1, 1 << 16, 2)  # half a megabyte

    kept = KeptFeatures(1.2)
    for number in (1, 2, 1, 3, 1, 2):
        kept.of(torch.full((1, 1, 1), float(number)), encode)
    assert asked == [1, 2, 3, 2]
