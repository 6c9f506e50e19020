"""Which label of a tar file belongs to which audio."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.manifests.label_pairing import pair_labels

NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("audio", "label"),
    [
        ("0001.flac", "0001.txt"),
        ("up.FLAC", "up.TXT"),
        ("talk.v1.0001.flac", "talk.v1.0001.txt"),
        ("235 Track 2.0 (Clean).flac", "235 Track 2.0 (Clean).json"),
        ("./v1.5/a/x.flac", "./v1.5/a/x.json"),
        ("./x.flac", "x.json"),
        ("x.wav", "x.wav.json"),
        ("0001.mic1.flac", "0001.json"),  # WebDataset: all up to the first dot is the key
        (f"{NFC}.wav", f"{NFD}.txt"),
        (f"{NFD}/a.wav", f"{NFC}/a.txt"),
        ("no_ending", "no_ending.txt"),
    ],
)
def test_pairs(audio: str, label: str) -> None:
    samples = pair_labels([audio, "other/0001.flac", "talk.v2.flac"], [label])
    assert samples.labels == {audio: [label]}
    assert samples.ambiguous == {}
    assert samples.unclaimed == []


@pytest.mark.parametrize(
    "label",
    [
        "a.seg.json",  # WebDataset: another field of the sample `a`
        "a.en.txt",
        "b.txt",
        "folder/a.txt",
        "talk.txt.json",
        "A.txt",
    ],
)
def test_labels_of_no_audio(label: str) -> None:
    samples = pair_labels(["a.flac", "talk.v1.flac"], [label])
    assert samples.unclaimed == [label]
    assert samples.labels == samples.ambiguous == {}


def test_both_labels_of_one_audio() -> None:
    assert pair_labels(["a.flac"], ["a.txt", "a.JSON"]).labels == {"a.flac": ["a.JSON", "a.txt"]}


def test_ambiguous_labels() -> None:
    samples = pair_labels(
        ["a.flac", "a.wav", "b.left.wav", "b.right.wav", "c.v1.wav", "d.wav", "e.wav"],
        ["a.txt", "b.txt", "c.txt", "c.v1.txt", "d.txt", "d.TXT", "e.txt", "e.wav.txt"],
    )
    # The nearest label is the audio's, and what it took the place of is told.
    assert samples.labels == {"c.v1.wav": ["c.v1.txt"], "e.wav": ["e.wav.txt"]}
    assert sorted(samples.ambiguous) == ["a.txt", "b.txt", "c.txt", "d.TXT", "d.txt", "e.txt"]
    assert "2 audio members" in samples.ambiguous["b.txt"]
    assert "c.v1.txt" in samples.ambiguous["c.txt"]


def test_exact_names_go_before_the_first_dot() -> None:
    samples = pair_labels(["a.flac", "a.b.flac", "a.b.c.flac"], ["a.txt", "a.b.txt", "a.b.c.txt"])
    assert samples.labels == {f"{n}.flac": [f"{n}.txt"] for n in ("a", "a.b", "a.b.c")}


STEMS = st.lists(
    st.text(st.sampled_from("ab1 .(é"), min_size=1, max_size=6).map(lambda s: f"k{s}"), unique=True
)


@given(stems=STEMS, endings=st.lists(st.sampled_from(["flac", "WAV", "mp3"]), min_size=1))
def test_audio_and_labels_of_one_name_always_meet(stems: list[str], endings: list[str]) -> None:
    """Whatever dots a set has in its names: the name before the last one decides."""
    audio = [f"{stem}.{endings[n % len(endings)]}" for n, stem in enumerate(stems)]
    samples = pair_labels(audio, [f"{stem}.txt" for stem in stems])
    assert samples.labels == {a: [f"{s}.txt"] for a, s in zip(audio, stems, strict=True)}
    assert samples.ambiguous == {}


@given(st.lists(st.sampled_from(["a", "a.b", "a.b.c", "b", "b.c"])), st.integers(0, 1 << 30))
def test_every_label_is_somewhere_in_any_order(stems: list[str], seed: int) -> None:
    audio = sorted({f"{s}.wav" for s in stems[::2]} | {f"{s}.flac" for s in stems[1::3]})
    labels = sorted({f"{s}.txt" for s in stems[1::2]} | {f"{s}.wav.txt" for s in stems[::3]})
    samples = pair_labels(audio, labels)
    used = [label for owned in samples.labels.values() for label in owned]
    assert sorted([*used, *samples.ambiguous, *samples.unclaimed]) == labels
    random.Random(seed).shuffle(audio)
    random.Random(seed).shuffle(labels)
    again = pair_labels(audio, labels)
    assert (again.labels, again.ambiguous) == (samples.labels, samples.ambiguous)
