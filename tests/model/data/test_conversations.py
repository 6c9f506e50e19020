"""Conversations as sequences, held against the published fine-tuning's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.model.conformance import LLM, TABLE, notes
from wavemill.model.data.corpus import Conversation, Sound, Spoken
from wavemill.model.data.documents import conversation_document, with_hidden_codes
from wavemill.model.prompt.layout import Format, Vocabulary
from wavemill.model.prompt.text import Utf8

FORM = Format(Vocabulary(256, 320))


def conversation(*messages: Spoken) -> Conversation:
    return Conversation(0, "c", "asr", None, messages)


def heard(*codes: int) -> Sound:
    return Sound(b"x", np.array(codes, np.int32))


def of_fixture(told: list[dict[str, Any]]) -> Conversation:
    offset = Vocabulary().audio_offset
    return conversation(
        *(
            Spoken(one["role"], None, heard(*(i - offset for i in one["audio_tokens"])))
            if one["message_type"] == "audio"
            else Spoken(one["role"], one["content"], None)
            for one in told
        )
    )


@pytest.mark.skipif(not LLM.is_dir(), reason="no conformance fixtures")
def test_ids_labels_and_positions_are_the_published_ones() -> None:
    """But for the features of what the assistant says, which it cannot have when it speaks."""
    for told in notes("prompts/finetune_layouts")["cases"].values():
        given = of_fixture(told["conversation"])
        made = conversation_document(given, Utf8(), Format(Vocabulary()))
        answer = told["audio_ids"].index(Vocabulary().assistant)
        mine = [p for p in told["continuous_positions"] if p < answer]
        different = (
            (made.audio_ids.tolist() != told["audio_ids"])
            + (made.text_ids.tolist() != told["text_ids"])
            + (made.audio_labels.tolist() != told["audio_labels"])
            + (made.text_labels.tolist() != told["text_labels"])
            + (np.flatnonzero(made.audio_loss_mask).tolist() != told["audio_loss_positions"])
            + (np.flatnonzero(made.text_loss_mask).tolist() != told["text_loss_positions"])
            + (np.flatnonzero(made.continuous).tolist() != mine)
        )
        TABLE.add("data: fine-tuning sequences", float(different))


def test_a_spoken_reply_is_learnt_up_to_where_generation_stops() -> None:
    names = FORM.vocabulary
    reply = Spoken("assistant", "ok", heard(4, 5))
    made = conversation_document(conversation(Spoken("user", None, heard(1)), reply), Utf8(), FORM)
    audio = made.audio_labels[made.audio_loss_mask].tolist()
    text = made.text_labels[made.text_loss_mask].tolist()
    assert audio == [names.audio_offset + 4, names.audio_offset + 5, names.msg_end]
    assert text == [*b"ok", names.text_eos]
    assert np.flatnonzero(made.audio_loss_mask)[0] - np.flatnonzero(made.text_loss_mask)[0] == 6
    assert len(made.sounds) == 1
    assert made.continuous.sum() == 1


def test_only_the_user_is_heard() -> None:
    made = conversation_document(
        conversation(
            Spoken("user", None, heard(1, 2)),
            Spoken("assistant", None, heard(3)),
            Spoken("user", None, heard(4)),
            Spoken("assistant", "x", None),
        ),
        Utf8(), FORM,
    )  # fmt: skip
    assert [len(sound.codes) for sound in made.sounds] == [2, 1]
    assert made.continuous.sum() == 3


def test_hidden_codes_are_those_that_are_heard() -> None:
    given = conversation(
        Spoken("user", None, heard(*range(1, 41))), Spoken("assistant", "ok", heard(4, 5))
    )
    made = conversation_document(given, Utf8(), FORM)
    hidden = with_hidden_codes(made, 0.5, FORM.vocabulary.blank, np.random.default_rng(0))
    changed = np.flatnonzero(hidden.audio_ids != made.audio_ids)
    assert 10 < len(changed) < 30
    assert made.continuous[changed].all()
    assert (hidden.audio_ids[changed] == FORM.vocabulary.blank).all()
    assert (hidden.audio_labels == made.audio_labels).all()
    assert hidden.continuous.tolist() == made.continuous.tolist()
