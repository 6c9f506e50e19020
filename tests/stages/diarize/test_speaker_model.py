"""Voices of whole clips, by a small random embedding model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.diarize.test_pyannote import folder, talk  # noqa: F401
from wavemill.stages.diarize.speaker_model import SpeakerModel
from wavemill.stages.engine import EngineUnavailable


def test_voices_are_unit_vectors_that_depend_on_the_clip_alone(folder: Path) -> None:  # noqa: F811
    model = SpeakerModel(folder / "embedding")
    long = talk(12.0)
    clips = [long[:32_000], long[40_000:90_000], long, long[:32_000], long[:2000]]
    found = model.voices(clips)
    assert {vector.shape for vector in found} == {(24,)}
    assert [float(v @ v) for v in found] == pytest.approx([1.0] * 5, abs=1e-5)
    assert np.array_equal(found[0], found[3])
    assert float(found[0] @ found[1]) < 0.99999
    np.testing.assert_array_equal(model.voices([clips[1]])[0], found[1])


def test_a_missing_checkpoint_is_named(folder: Path, tmp_path: Path) -> None:  # noqa: F811, ARG001
    with pytest.raises(EngineUnavailable, match="--speaker-model"):
        SpeakerModel(tmp_path / "none")
