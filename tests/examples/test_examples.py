"""The committed example recordings: small, whole, and described by their truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support import ROOT
from wavemill.pipeline.truth import Truth, load_truth

EXAMPLES = ROOT / "examples"
RECORDINGS = sorted((EXAMPLES / "recordings").glob("*.flac"))
MAX_BYTES = 6_000_000
WITHOUT_SPEECH = "music_and_rain.flac"

each_recording = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)


@dataclass(frozen=True)
class Sound:
    samples: np.ndarray  # float64, (channels, samples)
    rate: int

    def db(self, start_ms: int, end_ms: int) -> float:
        """RMS level of a span in dBFS, the louder channel."""
        span = self.samples[:, start_ms * self.rate // 1000 : end_ms * self.rate // 1000]
        return float(10 * np.log10(np.mean(span**2, axis=1).max() + 1e-12))


@cache
def truth() -> Truth:
    return load_truth(EXAMPLES / "truth")


@cache
def decode(path: Path) -> Sound:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        stream = container.streams.audio[0]
        interleaved = np.concatenate(frames, axis=1).reshape(-1, stream.channels)
        return Sound(interleaved.T / 32768.0, stream.rate)


def test_there_are_enough_and_they_are_small() -> None:
    assert len(RECORDINGS) >= 8
    assert sum(path.stat().st_size for path in RECORDINGS) <= MAX_BYTES


def test_each_recording_has_truth_and_the_reverse() -> None:
    assert {path.name for path in RECORDINGS} == set(truth().turns)


def test_turns_of_rttm_and_transcripts_agree() -> None:
    spoken = set()
    for line in (EXAMPLES / "truth" / "reference.rttm").read_text(encoding="utf-8").splitlines():
        kind, name, _, start, length, _, _, speaker, *_ = line.split()
        assert kind == "SPEAKER"
        start_ms = round(float(start) * 1000)
        end_ms = start_ms + round(float(length) * 1000)
        spoken.add((f"{name}.flac", start_ms, end_ms, speaker))
    assert spoken == {
        (name, turn.start_ms, turn.end_ms, turn.speaker)
        for name, turns in truth().turns.items()
        for turn in turns
    }


@each_recording
def test_it_decodes_and_lasts_beyond_its_last_turn(path: Path) -> None:
    sound = decode(path)
    duration_ms = sound.samples.shape[1] * 1000 / sound.rate
    assert 10_000 < duration_ms < 60_000
    ends = [turn.end_ms for turn in truth().turns[path.name]]
    assert 0 < duration_ms - max(ends, default=duration_ms - 600) < 1000


@each_recording
def test_turns_are_louder_than_what_lies_between(path: Path) -> None:
    if path.name == WITHOUT_SPEECH:
        assert truth().turns[path.name] == ()
        return
    sound, turns = decode(path), truth().turns[path.name]
    before = sound.db(0, turns[0].start_ms)
    assert min(sound.db(turn.start_ms, turn.end_ms) for turn in turns) > before + 6


@each_recording
def test_speakers_return(path: Path) -> None:
    speakers = [turn.speaker for turn in truth().turns[path.name]]
    changes = sum(a != b for a, b in pairwise(speakers))
    assert path.name == WITHOUT_SPEECH or changes > len(set(speakers))


def test_variety_of_formats() -> None:
    sounds = [decode(path) for path in RECORDINGS]
    assert {8_000, 16_000, 44_100, 48_000} <= {sound.rate for sound in sounds}
    assert {1, 2} == {sound.samples.shape[0] for sound in sounds}


def test_only_the_clipped_recording_is_clipped() -> None:
    clipped = {
        path.stem: float(np.mean(np.abs(decode(path).samples) > 0.999)) for path in RECORDINGS
    }
    assert clipped.pop("clipped_voices") > 0.01
    assert set(clipped.values()) == {0.0}
