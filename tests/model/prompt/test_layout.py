from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.model.prompt.names import special_tokens
from tests.model.prompt.reading import read
from wavemill.model.prompt.layout import (
    Format,
    LayoutError,
    Reply,
    Revision,
    Role,
    TokenMessage,
    Vocabulary,
    shifted,
)

SMALL = Vocabulary(text_tokens=20, audio_offset=60)
texts = st.lists(st.integers(0, 19), min_size=1, max_size=5).map(tuple)
codes = st.lists(st.integers(0, 9), min_size=1, max_size=5).map(tuple)


@st.composite
def messages(draw: st.DrawFn, spoken: bool) -> list[TokenMessage]:
    """Draw conversations whose texts of one role never follow each other."""
    found: list[TokenMessage] = []
    for _ in range(draw(st.integers(1, 6))):
        role = draw(st.sampled_from(list(Role)))
        kind = draw(st.sampled_from(["text", "codes", "both"]))
        if kind == "both" and spoken and role is Role.ASSISTANT:
            found.append(TokenMessage(role, draw(texts), draw(codes)))
        elif kind == "text":
            found.append(TokenMessage(role, text=draw(texts)))
        else:
            found.append(TokenMessage(role, codes=draw(codes)))
    apart = [found[0]]
    for message in found[1:]:
        last = apart[-1]
        if (message.role, message.codes, last.codes) != (last.role, None, None):
            apart.append(message)
    return apart


@settings(deadline=None)
@given(messages(spoken=True), st.sampled_from(list(Reply)), st.booleans())
def test_what_is_laid_out_reads_back(
    conversation: list[TokenMessage], reply: Reply, ask: bool
) -> None:
    # Nothing stands between a spoken message and text that follows it.
    assume(not any(a.text and a.codes and b.text for a, b in pairwise(conversation)))
    layout = Format(SMALL).layout(conversation, reply, ask)
    assert len(layout.audio_ids) == len(layout.text_ids) == len(layout)
    assert read(layout.audio_ids, layout.text_ids, SMALL) == conversation


@settings(deadline=None)
@given(messages(spoken=False), st.sampled_from(list(Revision)))
def test_both_revisions_read_back(conversation: list[TokenMessage], revision: Revision) -> None:
    layout = Format(SMALL, revision).layout(conversation)
    assert read(layout.audio_ids, layout.text_ids, SMALL) == conversation


@settings(deadline=None)
@given(messages(spoken=True))
def test_marks(conversation: list[TokenMessage]) -> None:
    layout = Format(SMALL).layout(conversation, ask=False)
    for position in range(len(layout)):
        audio, text = layout.audio_ids[position], layout.text_ids[position]
        assert not layout.continuous[position] or audio >= SMALL.audio_offset
        if layout.audio_loss_mask[position]:
            assert audio >= SMALL.audio_offset or audio == SMALL.media_end
        if layout.text_loss_mask[position]:
            assert text < SMALL.text_tokens or text == SMALL.text_eos
    heard = sum(len(m.codes) for m in conversation if m.codes and m.text is None)
    assert sum(layout.continuous) == heard
    labels, counts = shifted(layout.audio_ids, layout.audio_loss_mask, SMALL.pad)
    assert labels[:-1] == list(layout.audio_ids[1:])
    assert (labels[-1], counts[-1]) == (SMALL.pad, False)


def test_refuses_what_is_no_conversation() -> None:
    style = Format(SMALL)
    with pytest.raises(LayoutError, match="at least one message"):
        style.layout([])
    with pytest.raises(LayoutError, match="25 is not a text id"):
        style.layout([TokenMessage(Role.USER, text=(25,))])
    with pytest.raises(LayoutError, match="code -1 is negative"):
        style.layout([TokenMessage(Role.USER, codes=(-1,))])
    with pytest.raises(LayoutError, match="only the assistant's"):
        style.layout([TokenMessage(Role.USER, text=(1,), codes=(1,))])
    with pytest.raises(LayoutError, match="9 text ids do not fit beside 8 audio positions"):
        style.layout([TokenMessage(Role.ASSISTANT, text=(1,) * 9, codes=(1, 2))])
    with pytest.raises(LayoutError, match="needs text, audio codes, or both"):
        TokenMessage(Role.USER)


def test_says_where_a_layout_breaks() -> None:
    layout = Format(SMALL).layout([TokenMessage(Role.USER, codes=(1, 2, 3))])
    audio, text = list(layout.audio_ids), list(layout.text_ids)
    with pytest.raises(LayoutError, match="position 0: audio id 38 where a role marker"):
        read(audio[1:], text[1:], SMALL)
    with pytest.raises(LayoutError, match="position 4: audio id 22 where the end of an audio"):
        read([*audio[:4], SMALL.msg_end], text[:5], SMALL)
    with pytest.raises(LayoutError, match="ends before its last message"):
        read(audio[:6], text[:6], SMALL)
    with pytest.raises(LayoutError, match="audio ids beside"):
        read(audio, text[1:], SMALL)


def test_vocabulary_needs_room_for_its_special_tokens() -> None:
    with pytest.raises(ValueError, match="at least 35 special tokens"):
        Vocabulary(text_tokens=10, audio_offset=44)
    assert len(set(special_tokens(SMALL))) == 40
