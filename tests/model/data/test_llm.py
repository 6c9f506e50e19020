"""Micro-batches: complete, in a seeded order, shared by ranks, resumable, and robust."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.data.made import conversation_row, segment_row, write
from wavemill.model.data.batch import PackedBatch
from wavemill.model.data.corpus import Corpus
from wavemill.model.data.documents import WEIGHTS, Task, Tasks
from wavemill.model.data.llm import LlmBatches, epoch_positions
from wavemill.model.data.planning import ConversationPlanner, Planner, PretrainPlanner, Span
from wavemill.model.data.source import DataError, Prefetched, Share
from wavemill.model.data.texts import Texts
from wavemill.model.prompt.layout import Format, Vocabulary
from wavemill.model.prompt.text import Utf8
from wavemill.model.tokenizer.config import EncoderConfig

V = Vocabulary(256, 320)
FORM = Format(V)
ENCODER = EncoderConfig(
    d_model=8, encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=8, fill_to_tokens=8
)


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = [[conversation_row(10 * f + i) for i in range(5)] for f in range(4)]
    return write(tmp_path_factory.mktemp("sft"), "sft", files, group=2)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    files = [[segment_row(10 * f + r, i) for r in range(3) for i in range(4)] for f in range(3)]
    (folder / "texts.jsonl").write_text(
        "".join(json.dumps({"text": f"text number {i} " * 3}) + "\n" for i in range(9)),
        encoding="utf-8",
    )
    return write(folder, "pretrain", files, group=5)


def planner(place: Path) -> ConversationPlanner:
    return ConversationPlanner(Corpus.open(str(place), "sft"), Utf8(), FORM, 256)


def batches(
    made: Planner, rank: int = 0, world: int = 1, streams: int = 1, seed: int = 0, mb: float = 64
) -> LlmBatches:
    span = Span(streams=streams, seed=seed, window_bytes=int(mb * (1 << 20)))
    return LlmBatches(made, ENCODER, 128, span, Share(rank, world))


def names(found: list[PackedBatch]) -> list[tuple[str, ...]]:
    return [batch.ids for batch in found]


def test_an_epoch_has_every_conversation_once_and_the_next_another_order(
    conversations: Path,
) -> None:
    source = batches(planner(conversations))
    seen: list[str] = []
    while len(seen) < 40:
        batch = next(source)
        assert batch.units <= 128
        seen += batch.ids
    wanted = {f"s{10 * f + i}" for f in range(4) for i in range(5)}
    assert len(seen) == 40
    assert set(seen[:20]) == set(seen[20:]) == wanted
    assert seen[:20] != seen[20:]
    assert names([next(batches(planner(conversations), seed=1))]) != [tuple(seen[:1])]


def test_features_and_positions_fit(conversations: Path) -> None:
    batch = next(batches(planner(conversations)))
    assert sum(sum(group.tokens) for group in batch.mels) == int(batch.continuous.sum())
    assert sum(batch.lengths) == batch.units == len(batch.position_ids)
    starts = [sum(batch.lengths[:i]) for i in range(len(batch.lengths))]
    assert batch.position_ids[starts].tolist() == [0] * len(starts)
    assert not batch.text_loss_mask[
        [s + n - 1 for s, n in zip(starts, batch.lengths, strict=True)]
    ].any()


@settings(max_examples=5, deadline=None)
@given(
    taken=st.integers(1, 6),
    before=st.sampled_from([1, 2, 3]),
    after=st.sampled_from([1, 2, 4]),
    streams=st.sampled_from([1, 2, 3]),
    mb=st.sampled_from([64, 0.05]),
)
def test_other_workers_continue_where_the_first_ones_stopped(
    conversations: Path, taken: int, before: int, after: int, streams: int, mb: float
) -> None:
    def ranks(world: int) -> list[LlmBatches]:
        return [batches(planner(conversations), r, world, streams, mb=mb) for r in range(world)]

    whole = names(list(islice(batches(planner(conversations), streams=streams, mb=mb), 31)))
    first = ranks(before)
    found = [next(one).ids for _ in range(taken) for one in first]
    state = json.loads(json.dumps(first[0].merged([one.state() for one in first])))
    second = ranks(after)
    for one in second:
        one.restore(state)
    found += [next(one).ids for _ in range(3) for one in second]
    assert found == whole[: len(found)]


def test_a_prefetched_position_resumes_too(conversations: Path) -> None:
    whole = names(list(islice(batches(planner(conversations)), 8)))
    source = Prefetched(batches(planner(conversations)))
    for _ in range(3):
        next(source)
    again = Prefetched(batches(planner(conversations)))
    again.restore(source.state())
    assert names([next(again) for _ in range(5)]) == whole[3:]
    source.close()
    again.close()


def test_another_corpus_cannot_be_continued_on(conversations: Path, tmp_path: Path) -> None:
    other = write(tmp_path, "sft", [[conversation_row(1)]])
    state = batches(planner(conversations)).state()
    with pytest.raises(DataError, match="not those that this training began with"):
        batches(planner(other)).restore(state)


def test_what_is_broken_is_told_and_passed_over(tmp_path: Path) -> None:
    rows = [conversation_row(i) for i in range(8)]
    rows[1]["messages"][1]["semantic_tokens"] = []
    rows[2]["messages"][1]["audio"] = {"bytes": b"no flac", "path": "x"}
    rows[3]["messages"] = rows[3]["messages"][:2]
    rows[4]["messages"][0]["text"] = "x" * 300
    write(tmp_path, "sft", [rows[:4], rows[4:6], rows[6:]], group=2)
    broken = tmp_path / "corpus" / "sft" / "001.parquet"
    broken.write_bytes(b"PAR1 nothing of the kind PAR1")
    whole = tmp_path / "corpus" / "sft" / "002.parquet"
    write(tmp_path, "sft", [rows[:4], [], rows[4:6] + rows[6:]], group=2)
    broken.write_bytes(b"PAR1 nothing of the kind PAR1")
    data = bytearray(whole.read_bytes())
    data[4:200] = bytes(196)  # the first row group's pages
    whole.write_bytes(bytes(data))
    source = batches(planner(tmp_path))
    seen: list[str] = []
    while len(seen) < 6:
        seen += next(source).ids
    assert set(seen) == {"s0", "s6", "s7"}
    assert source.problems() == {
        "corrupted_file": 1,
        "corrupted_row_group": 1,
        "no_semantic_tokens": 1,
        "no_answer": 1,
        "undecodable_audio": 1,
    }


def test_only_the_splits_to_learn_from_are_learnt(tmp_path: Path) -> None:
    splits = ["train", "test", None, "validation"]
    rows = [conversation_row(i, split=split) for i, split in enumerate(splits)]
    source = batches(planner(write(tmp_path, "sft", [rows])))
    assert {name for _ in range(4) for name in next(source).ids} == {"s0", "s2"}


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(0, split="test")]])
    with pytest.raises(DataError, match="nothing there to learn from"):
        next(batches(planner(place)))
    long = write(tmp_path / "long", "sft", [[conversation_row(0, answer="x" * 500)]])
    with pytest.raises(DataError, match="nothing in the data can be learnt from"):
        next(batches(planner(long)))


def pretraining(place: Path, texts: bool = True) -> PretrainPlanner:
    corpus = Corpus.open(str(place), "pretrain")
    written = Texts.open([str(place / "texts.jsonl")]) if texts else None
    return PretrainPlanner(corpus, written, Utf8(), Tasks(V, 6, 128), WEIGHTS)


def test_tasks_get_their_shares_of_the_positions(recordings: Path) -> None:
    source = batches(pretraining(recordings))
    done = dict.fromkeys(Task, 0)
    for _ in range(150):
        batch = next(source)
        for task, length in zip(batch.tasks, batch.lengths, strict=True):
            done[Task(task)] += length
    total = sum(done.values())
    for task, weight in WEIGHTS.items():
        assert done[task] / total == pytest.approx(weight / 14, abs=0.03)


def test_segments_of_a_recording_stay_together_and_in_order(recordings: Path) -> None:
    corpus = Corpus.open(str(recordings), "pretrain")
    found = [r for number in range(3) for r in corpus.recordings(number)]
    assert [len(one.segments) for one in found] == [4] * 9
    for one in found:
        assert [s.segment_id for s in one.segments] == [f"{one.recording_id}-{i}" for i in range(4)]


def test_a_segment_without_text_is_told(tmp_path: Path) -> None:
    rows = [segment_row(0, 0, text=" "), segment_row(0, 1, text="b")]
    rows[0]["text"] = ""
    source = batches(pretraining(write(tmp_path, "pretrain", [rows]), texts=False))
    assert set(next(source).ids) == {"r0-1"}
    assert source.problems() == {"no_text_tokens": 1}


def test_an_epoch_is_counted_without_its_audio(conversations: Path) -> None:
    quick = ConversationPlanner(
        Corpus(Corpus.open(str(conversations), "sft").files, audio=False), Utf8(), FORM, 256
    )
    source = batches(planner(conversations))
    units = learnt = 0
    while learnt < 20:
        batch = next(source)
        units, learnt = units + batch.units, learnt + len(batch.ids)
    assert epoch_positions(quick) == units
