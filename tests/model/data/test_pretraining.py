"""The seven tasks on hand-made segments (report section 4.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wavemill.model.data.corpus import Segment, Sound
from wavemill.model.data.documents import (
    WEIGHTS,
    Document,
    Said,
    Task,
    Tasks,
    has_reference,
)
from wavemill.model.prompt.layout import LayoutError, Role, TokenMessage, Vocabulary, read_aloud

V = Vocabulary(text_tokens=256, audio_offset=320)
A0, B, EOS = V.audio_offset, V.blank, V.text_eos
BEGIN, END, PAD = V.media_begin, V.media_end, V.pad


def said(number: int, codes: list[int], text: list[int]) -> Said:
    sound = Sound(b"", np.array(codes, np.int32))
    segment = Segment(number, f"s{number}", "r", None, "", "", (), sound)
    return Said(segment, tuple(text))


ONE, TWO = said(1, [1, 2], [10, 11]), said(2, [3], [20])
MEDIA_ONE = [BEGIN, A0 + 1, A0 + 2, END]
MEDIA_TWO = [BEGIN, A0 + 3, END]


def laid_out(task: Task, *segments: Said, positions: int = 100) -> list[Document]:
    too_long: list[str] = []
    tasks = Tasks(V, delay=6, positions=positions)
    documents = list(tasks.speech(task, segments, too_long.append))
    assert not too_long
    return documents


def counted(document: Document) -> tuple[list[int], list[int]]:
    """Return what the loss counts of the audio and of the text stream, in order."""
    return (
        document.audio_labels[document.audio_loss_mask].tolist(),
        document.text_labels[document.text_loss_mask].tolist(),
    )


@pytest.mark.parametrize(
    ("task", "audio", "text", "learnt", "heard"),
    [
        (Task.AUDIO, [*MEDIA_ONE, *MEDIA_TWO], [B] * 7,
         ([A0 + 1, A0 + 2, END, A0 + 3, END], []), []),
        (Task.ASR, [*MEDIA_ONE, B, B, B, *MEDIA_TWO, B, B],
         [B] * 4 + [10, 11, EOS] + [B] * 3 + [20, EOS],
         ([], [10, 11, EOS, 20, EOS]), [1, 2, 8]),
        (Task.TTS, [B, B, *MEDIA_ONE, B, *MEDIA_TWO], [10, 11] + [B] * 4 + [20] + [B] * 3,
         ([A0 + 1, A0 + 2, END, A0 + 3, END], []), []),
        (Task.TO_AUDIO, [*MEDIA_ONE, *MEDIA_TWO], [B] * 7, ([A0 + 3, END], []), [1, 2]),
        (Task.TO_TEXT, [*MEDIA_ONE, B, B], [B] * 4 + [20, EOS], ([], [20, EOS]), [1, 2]),
        (Task.TO_BOTH, [*MEDIA_ONE, *[B] * 6, A0 + 3, END], [B] * 4 + [20, EOS] + [B] * 6,
         ([A0 + 3, END], [20, EOS]), [1, 2]),
    ],
)  # fmt: skip
def test_a_task(
    task: Task, audio: list[int], text: list[int], learnt: tuple[list, list], heard: list[int]
) -> None:
    (document,) = laid_out(task, ONE, TWO)
    assert document.audio_ids.tolist() == audio
    assert document.text_ids.tolist() == text
    assert counted(document) == learnt
    assert np.flatnonzero(document.continuous).tolist() == heard
    runs = np.diff(np.pad(document.continuous.astype(int), 1)).clip(0).sum()
    assert len(document.sounds) == runs
    # Every position predicts its successor.
    assert document.audio_labels.tolist() == [*audio[1:], PAD]
    assert document.text_labels.tolist() == [*text[1:], PAD]


def test_audio_starts_six_steps_after_its_text() -> None:
    (document,) = laid_out(Task.TO_BOTH, ONE, TWO)
    first_text = int(np.flatnonzero(document.text_loss_mask)[0])
    first_audio = int(np.flatnonzero(document.audio_loss_mask)[0])
    assert first_audio - first_text == 6


def test_the_prompt_to_read_aloud_is_what_was_learnt() -> None:
    (learnt,) = laid_out(Task.TTS, ONE)
    prompt = read_aloud([10, 11], V)
    length = len(prompt)
    assert list(prompt.audio_ids) == learnt.audio_ids[:length].tolist()
    assert list(prompt.text_ids) == learnt.text_ids[:length].tolist()
    # The first code is what the prompt's last position predicts.
    assert learnt.audio_loss_mask.tolist() == [False] * (length - 1) + [True] * 3 + [False]
    with pytest.raises(LayoutError, match="no text to read aloud"):
        read_aloud([], V)


def test_text_only_learns_every_id_and_ends() -> None:
    (document,) = Tasks(V, 6, 100).text("t", [5, 6, 7])
    assert counted(document) == ([], [5, 6, 7, EOS])
    assert not document.sounds


def test_a_long_text_goes_on_in_the_next_document_without_loss() -> None:
    pieces = list(Tasks(V, 6, 4).text("t", list(range(7))))
    assert [one for piece in pieces for one in counted(piece)[1]] == [*range(7), EOS]
    assert all(len(piece) <= 4 for piece in pieces)


def test_a_long_recording_is_cut_between_segments() -> None:
    documents = laid_out(Task.ASR, ONE, TWO, ONE, positions=12)
    assert [len(one) for one in documents] == [12, 7]
    assert [one.id for one in documents] == ["s1", "s1"]
    assert [len(one.sounds) for one in documents] == [2, 1]


def test_a_segment_that_is_too_long_is_told_and_left_out() -> None:
    too_long: list[str] = []
    documents = list(Tasks(V, 6, 6).speech(Task.ASR, [ONE, TWO], too_long.append))
    assert too_long == ["s1"]
    assert [one.id for one in documents] == ["s2"]


def test_interleaving_keeps_pairs_and_drops_a_last_single_segment() -> None:
    (document,) = laid_out(Task.TO_TEXT, ONE, TWO, ONE)
    assert len(document.sounds) == 1


def test_the_weights_are_those_of_table_3() -> None:
    of_the_report = [task for task in Task if task is not Task.TTS_WITH_REFERENCE]
    assert [WEIGHTS[task] for task in of_the_report] == [7, 1, 1, 1, 1, 1, 2]
    assert WEIGHTS.keys() == set(of_the_report)


def spoken_by(speaker: str, one: Said) -> Said:
    return replace(one, segment=replace(one.segment, speaker=speaker))


def test_a_reference_is_another_segment_of_the_speaker() -> None:
    anna, bob, again = (
        spoken_by("anna", ONE), spoken_by("bob", said(3, [9], [30])), spoken_by("anna", TWO)
    )  # fmt: skip
    first, second = laid_out(Task.TTS_WITH_REFERENCE, anna, bob, again)
    assert (first.id, second.id) == ("s1", "s2")
    assert second.audio_ids.tolist() == [B, B, *MEDIA_ONE, B, *MEDIA_TWO]
    assert second.text_ids.tolist() == [10, 11] + [B] * 4 + [20] + [B] * 3
    assert counted(second) == ([A0 + 3, END], [])
    assert counted(first) == ([A0 + 1, A0 + 2, END], [])
    assert not second.continuous.any()


def test_the_prompt_with_a_reference_is_what_was_learnt() -> None:
    _, learnt = laid_out(Task.TTS_WITH_REFERENCE, spoken_by("a", ONE), spoken_by("a", TWO))
    reference = TokenMessage(Role.ASSISTANT, (10, 11), (1, 2))
    prompt = read_aloud([20], V, reference)
    length = len(prompt)
    assert learnt.audio_ids.tolist()[:length] == list(prompt.audio_ids)
    assert learnt.text_ids.tolist()[:length] == list(prompt.text_ids)
    assert learnt.audio_labels[length - 1 :].tolist() == [A0 + 3, END, PAD]
    with pytest.raises(LayoutError, match="what is said in it"):
        read_aloud([20], V, TokenMessage(Role.ASSISTANT, (10,)))


def test_speakers_without_another_segment_have_no_reference() -> None:
    assert laid_out(Task.TTS_WITH_REFERENCE, spoken_by("a", ONE), spoken_by("b", TWO)) == []
    assert not has_reference([spoken_by("a", ONE), spoken_by("b", TWO)])
    assert not has_reference([ONE, TWO])  # nobody knows who speaks
