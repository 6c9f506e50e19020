from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.data.made import spoken_row, write
from tests.model.train.speech.made import RATE, made_audio, made_clip, write_corpus
from wavemill.model.data.clip_batches import ClipBatches
from wavemill.model.data.clips import ClipSettings, Prompt, SpeechClip, batch_of, clips_of, cut
from wavemill.model.data.corpus import Corpus, Sound
from wavemill.model.data.source import DataError, Problems, Share

CLIPS = [made_clip(n, 2 + n % 5) for n in range(23)]
SMALL = ClipSettings(window_clips=9, batch_s=1.0, batch_clips=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("work")
    write_corpus(folder, CLIPS, files=3)
    return str(folder)


def batches(place: str, share: Share = Share(), wanted: ClipSettings = SMALL) -> ClipBatches:  # noqa: B008
    return ClipBatches(Corpus.open(place, wanted.corpus), wanted, RATE, share)


def ids(source: ClipBatches, count: int) -> list[tuple[str, ...]]:
    return [next(source).ids for _ in range(count)]


def test_an_epoch_has_every_clip_once_and_another_order_follows(place: str) -> None:
    source = batches(place)
    epochs = []
    for _ in range(2):
        seen: list[str] = []
        while len(seen) < len(CLIPS):
            seen += next(source).ids
        assert sorted(seen) == sorted(clip.id for clip in CLIPS)
        epochs.append(seen)
    assert epochs[0] != epochs[1]
    again = batches(place)
    first = [name for names in ids(again, 3) for name in names]
    assert first == epochs[0][: len(first)]


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(1, 4))
def test_workers_share_one_series_and_others_continue_it(
    place: str, world: int, rounds: int, later: int
) -> None:
    whole = ids(batches(place), 40)
    sources = [batches(place, Share(rank, world)) for rank in range(world)]
    got = [ids(source, rounds) for source in sources]
    assert [got[i % world][i // world] for i in range(rounds * world)] == whole[: rounds * world]
    state = sources[0].merged([source.state() for source in sources])
    for rank in range(later):
        source = batches(place, Share(rank, later))
        source.restore(state)
        assert ids(source, 2) == whole[rounds * world + rank :: later][:2]


def test_the_order_is_that_of_earlier_versions(place: str) -> None:
    """Runs that were begun with them go on, and published figures come out again."""
    wanted = [(20, 0, 5, 11), (8, 3), (17, 2), (14,), (15, 6, 1, 21), (18, 4), (9,), (7, 12)]
    assert ids(batches(place), 8) == [tuple(f"clip{n}" for n in one) for one in wanted]


def test_batches_hold_what_the_clips_say(place: str) -> None:
    batch = next(batches(place))
    by_id = {clip.id: clip for clip in CLIPS}
    per_token = RATE * 80 // 1000
    assert batch.audio.shape == (len(batch.ids), batch.tokens.shape[1] * per_token)
    assert batch.units == 80 * int(batch.token_counts.sum())
    for row, name in enumerate(batch.ids):
        clip, count = by_id[name], int(batch.token_counts[row])
        assert count == clip.tokens
        assert np.array_equal(batch.tokens[row, :count], clip.sound.codes)
        assert batch.texts[row] == clip.text
        number = int(name.removeprefix("clip"))
        sound = batch.audio[row, : int(batch.samples[row])].numpy()
        assert np.abs(sound - made_audio(number % 4, count, number)).max() < 1e-4  # 16 bit
        assert not batch.audio[row, int(batch.samples[row]) :].any()


@given(st.integers(0, 99), st.floats(0.1, 3), st.integers(1, 9))
def test_batches_stay_within_their_budget(seed: int, seconds: float, most: int) -> None:
    wanted = ClipSettings(batch_s=seconds, batch_clips=most)
    made = cut(CLIPS, wanted, np.random.default_rng(seed))
    assert sorted(c.id for b in made for c in b) == sorted(c.id for c in CLIPS)
    for batch in made:
        padded = len(batch) * max(clip.tokens for clip in batch)
        assert len(batch) <= most
        assert len(batch) == 1 or padded <= seconds * 12.5


def test_crops_keep_audio_and_tokens_together(place: str) -> None:
    batch = next(batches(place, wanted=replace_settings(crop_tokens=2)))
    assert batch.tokens.shape[1] == 2
    by_id = {clip.id: clip for clip in CLIPS}
    for row, name in enumerate(batch.ids):
        clip = by_id[name]
        if clip.tokens == 2:
            continue
        first = clip.sound.codes.tolist().index(int(batch.tokens[row, 0]))
        assert batch.tokens[row].tolist() == clip.sound.codes[first : first + 2].tolist()
        whole = made_audio(int(name[4:]) % 4, clip.tokens, int(name[4:]))
        part = torch.from_numpy(whole[first * 1280 : (first + 2) * 1280])
        assert (batch.audio[row] - part).abs().max() < 1e-4
        assert batch.texts[row] == ""


def test_one_speaker_alone(place: str) -> None:
    wanted = replace_settings(speaker="speaker1")
    found = list(clips_of(Corpus.open(place, "pretrain"), wanted))
    assert {clip.speaker for clip in found} == {"speaker1"}
    with pytest.raises(DataError, match="only speaker 'nobody'"):
        next(batches(place, wanted=replace_settings(speaker="nobody")))


def test_another_rate_is_resampled(place: str) -> None:
    source = ClipBatches(Corpus.open(place, "pretrain"), SMALL, 24_000)
    batch = next(source)
    assert batch.audio.shape[1] == batch.tokens.shape[1] * 1920
    assert float(batch.audio.abs().max()) > 0.05


def test_broken_audio_is_a_problem_and_left_out(tmp_path: Path) -> None:
    broken = [replace(c, sound=Sound(b"no sound", c.sound.codes)) for c in CLIPS[:1]]
    short = [replace(c, sound=replace(c.sound, codes=np.arange(20))) for c in CLIPS[1:2]]
    write_corpus(tmp_path, [*broken, *short, *CLIPS[2:6]], files=1)
    source = batches(str(tmp_path))
    seen = [name for names in ids(source, 8) for name in names]
    assert {"clip0", "clip1"}.isdisjoint(seen)
    assert {clip.id for clip in CLIPS[2:6]} <= set(seen)
    assert dict(source.problems()) == {"corrupted_audio": 1, "audio_shorter_than_tokens": 1}
    assert batch_of(broken, RATE, Problems()) is None


def test_other_files_are_not_continued(place: str, tmp_path: Path) -> None:
    write_corpus(tmp_path, CLIPS[:3], files=1)
    with pytest.raises(DataError, match="other files"):
        batches(place).restore(batches(str(tmp_path)).state())


def replace_settings(**changes: object) -> ClipSettings:
    return ClipSettings.model_validate(SMALL.model_dump() | changes)


def test_recognition_samples_of_sft_are_clips(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sound = CLIPS[0].sound
    audio = {"bytes": sound.data, "path": "a.flac"}
    messages = [
        {"role": "user", "kind": "text", "text": "Write down what is said."},
        {"role": "user", "kind": "audio", "audio": audio, "semantic_tokens": sound.codes.tolist()},
        {"role": "assistant", "kind": "text", "text": "one"},
    ]
    row = {"sample_id": "s", "task": "asr", "language": "en", "split": None, "messages": messages}
    (tmp_path / "sft").mkdir()
    other = row | {"sample_id": "c", "task": "aac"}
    pq.write_table(pa.Table.from_pylist([row, other]), tmp_path / "sft" / "0.parquet")
    corpus = Corpus.open(str(tmp_path), "sft")
    found = list(clips_of(corpus, ClipSettings(corpus="sft")))
    assert found == [SpeechClip("s", "one", "", found[0].sound)]


def test_all_that_is_said_in_a_spoken_conversation_is_clips(tmp_path: Path) -> None:
    row = spoken_row(1)
    corpus = Corpus.open(str(write(tmp_path, "sft", [[row]])), "sft")
    asked, answered = clips_of(corpus, ClipSettings(corpus="sft"))
    assert (asked.text, asked.speaker, asked.id) == ("", "anna", "s1-0")
    assert (answered.text, answered.speaker, answered.id) == ("n1", "assistant", "s1-1")
    assert answered.sound.codes.tolist() == row["messages"][1]["semantic_tokens"]
    only = ClipSettings(corpus="sft", speaker="assistant")
    assert [clip.id for clip in clips_of(corpus, only)] == ["s1-1"]


def test_clips_of_one_conversation_stay_in_one_window(tmp_path: Path) -> None:
    rows = [spoken_row(number) for number in range(6)]
    corpus = Corpus.open(str(write(tmp_path, "sft", [rows[:4], rows[4:]])), "sft")
    settings = ClipSettings(corpus="sft", window_clips=3, batch_clips=1)
    with ClipBatches(corpus, settings, 16_000) as batches:
        for _ in range(2):
            epoch = [next(batches).ids[0] for _ in range(12)]
            assert sorted(epoch) == [f"s{n}-{m}" for n in range(6) for m in range(2)]


def test_a_prompt_is_another_clip_of_the_speaker(place: str) -> None:
    wanted = replace_settings(prompt_share=1.0, prompt_s=0.24)
    speakers = {clip.id: clip.speaker for clip in CLIPS}
    codes = {clip.id: clip.sound.codes for clip in CLIPS}
    source, again = batches(place, wanted=wanted), batches(place, wanted=wanted)
    first = next(source)
    assert torch.equal(first.audio, next(again).audio)
    for row, name in enumerate(first.ids):
        count, whole = int(first.prompt_counts[row]), int(first.token_counts[row])
        assert 0 < count <= 3
        given = first.tokens[row, :count].tolist()
        assert first.tokens[row, count:whole].tolist() == codes[name].tolist()
        others = [n for n in codes if n != name and speakers[n] == speakers[name]]
        assert any(given == codes[n][at : at + count].tolist() for n in others for at in range(9))
    assert first.units == 80 * sum(len(codes[name]) for name in first.ids)


def test_the_sound_of_a_prompt_stands_before_the_clip() -> None:
    clip, other = CLIPS[4], CLIPS[3]
    behind = replace(clip, prompt=Prompt(other.part(2, 3), 2))
    made = batch_of([behind, CLIPS[0]], RATE, Problems())
    alone = batch_of([clip], RATE, Problems())
    before = batch_of([(other.part(2, 3), 2)], RATE, Problems())
    assert made is not None
    assert alone is not None
    assert before is not None
    samples = 3 * RATE * 80 // 1000
    assert torch.equal(made.audio[0, :samples], before.audio[0])
    assert torch.equal(made.audio[0, samples:], alone.audio[0])
    assert made.prompt_counts.tolist() == [3, 0]
