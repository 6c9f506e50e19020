"""Rows that join and leave while others go on give what each gives alone (CPU, float32)."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavemill.model.engine import Engine, GeneratedReply
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.settings import GenerateSettings, NoRoom, Sampling
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Reply

CONFIG = preset("tiny")
DRAWN = Sampling(temperature=0.9, top_k=20, repetition_penalty=1.2, repetition_window=3)
WAYS = [
    GenerateSettings(),
    GenerateSettings(text=DRAWN),
    GenerateSettings(reply=Reply.BOTH),
    GenerateSettings(reply=Reply.BOTH, text=DRAWN, audio=DRAWN),
    GenerateSettings(reply=Reply.BOTH, audio_only=True, audio=Sampling(temperature=1.1, top_k=0)),
]


@lru_cache
def network() -> AudioLlm:
    torch.manual_seed(1)
    network = AudioLlm(CONFIG).eval()
    # A random head seldom ends a text; here it does, so that rows leave the text branch.
    network.lm_head.weight.data[CONFIG.text_vocab + 24] *= 3
    return network


def prompt(length: int, heard: int, seed: int) -> LlmPrompt:
    """Return a prompt of random ids, the first `heard` of which are heard."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(CONFIG.audio_offset, CONFIG.vocab_size, (length,), generator=random)
    text = torch.randint(CONFIG.text_vocab, (length,), generator=random)
    features = torch.randn(heard, CONFIG.feature_width, generator=random)
    return LlmPrompt(ids, text, torch.arange(length) < heard, [features] if heard else [])


@lru_cache
def asked(number: int) -> tuple[LlmPrompt, GenerateSettings]:
    """Return one of 40 conversations, each with a length, a limit and a seed of its own."""
    steps = 1 + 5 * (number % 7)
    how = WAYS[number % len(WAYS)].model_copy(update={"max_new_tokens": steps, "seed": number})
    return prompt(1 + (number * 37) % 90, (number % 3) * (number % 2), number), how


@lru_cache
def alone(number: int) -> GeneratedReply:
    return Engine(network()).replies([asked(number)[0]], [asked(number)[1]])[0]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    joins=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 4)), min_size=1, max_size=20),
    leaves=st.sets(st.integers(0, 19), max_size=3),
    most_rows=st.sampled_from([1, 3, 16]),
    read_at_once=st.sampled_from([1, 100, 10_000]),
)
def test_rows_join_and_leave_while_others_go_on(
    joins: list[tuple[int, int]], leaves: set[int], most_rows: int, read_at_once: int
) -> None:
    """`joins` are conversations with the steps before each, `leaves` those that are removed."""
    engine = Engine(network(), most_rows, read_at_once)
    found: dict[int, GeneratedReply] = {}
    handles: list[int] = []

    def go_on() -> None:
        pieces = engine.step()
        assert len({piece.handle for piece in pieces}) == len(pieces)
        assert len(engine._memory.trunk.owners) <= most_rows
        for piece in pieces:
            found[piece.handle].add(piece.step)

    for place, (number, before) in enumerate(joins):
        for _ in range(before):
            go_on()
        handles.append(engine.add(*asked(number)))
        found[handles[-1]] = GeneratedReply()
        if place in leaves:
            engine.remove(handles[place // 2])
    while engine.busy:
        go_on()
    removed = {handles[place // 2] for place in leaves if place < len(handles)}
    for handle, (number, _) in zip(handles, joins, strict=True):
        wanted = alone(number)
        if handle in removed:  # what came until then
            assert found[handle].text == wanted.text[: len(found[handle].text)]
            assert found[handle].codes == wanted.codes[: len(found[handle].codes)]
        else:
            assert found[handle] == wanted
    assert [part.owners for part in engine._memory.parts] == [[], [], []]


def test_a_batch_of_16_gives_each_row_what_it_gives_alone() -> None:
    numbers = range(16)
    each = [asked(number) for number in numbers]
    found = Engine(network()).replies([one for one, _ in each], [how for _, how in each])
    assert found == [alone(number) for number in numbers]
    assert len({len(reply.text) + len(reply.codes) for reply in found}) > 5


def test_a_text_that_ends_leaves_speech_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text branch is skipped behind the end of a text; speech does not depend on it."""
    how = GenerateSettings(reply=Reply.BOTH, text=DRAWN, audio=DRAWN, max_new_tokens=30)
    skipping = Engine(network())
    last, rows = network().model.layers[-1], []
    forward = last.forward
    monkeypatch.setattr(
        last, "forward", lambda h, **k: (rows.append(h.shape[1]), forward(h, **k))[1]
    )
    (reply,) = skipping.replies([prompt(12, 0, 1)], how)
    steps = len(rows)
    assert len(reply.text) < steps < 30
    assert len(reply.codes) > 10


def test_streams_of_one_engine_go_on_together() -> None:
    engine = Engine(network())
    numbers = (3, 8, 10)
    streams = [engine.stream(*asked(number)) for number in numbers]
    replies = [GeneratedReply() for _ in numbers]
    for _ in range(40):
        for stream, reply in zip(streams, replies, strict=True):
            for step in stream:
                reply.add(step)
                break
    assert replies == [alone(number) for number in numbers]
    assert not engine.busy


def test_one_that_cannot_be_added_leaves_nothing_behind() -> None:
    engine = Engine(network())
    good, how = asked(3)
    unheard = torch.zeros_like(good.continuous)
    bad = LlmPrompt(good.audio_ids, good.text_ids, unheard, [torch.ones(2)])
    with pytest.raises(ValueError, match="1 features for 0 audio segments"):
        engine.replies([good, bad], how)
    with pytest.raises(NoRoom):
        engine.replies([good, prompt(5000, 0, 1)], how)
    assert not engine.busy
    assert engine.replies([good], how) == [alone(3)]
