from __future__ import annotations

import pytest
import torch

from wavemill.model.generate.generate import (
    GenerateSettings,
    LlmPrompt,
    NoRoom,
    Sampling,
    decode,
    generate,
    stream,
)
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.prompt.layout import Format, Reply, Role, TokenMessage, Vocabulary

CONFIG = preset("tiny")
FORMAT = Format(Vocabulary(CONFIG.text_vocab, CONFIG.audio_offset), delay=CONFIG.audio_delay)


@pytest.fixture(scope="module")
def network() -> AudioLlm:
    torch.manual_seed(1)
    return AudioLlm(CONFIG).eval()


def prompt(*messages: TokenMessage) -> LlmPrompt:
    layout = FORMAT.layout(messages, Reply.BOTH)
    ids = (torch.tensor(row) for row in (layout.audio_ids, layout.text_ids, layout.continuous))
    features = [torch.randn(len(m.codes), CONFIG.feature_width) for m in messages if m.codes]
    return LlmPrompt(*ids, features)


@pytest.fixture(scope="module")
def prompts() -> list[LlmPrompt]:
    torch.manual_seed(2)
    heard = TokenMessage(Role.USER, codes=(5, 9, 2, 7))
    return [
        prompt(TokenMessage(Role.USER, text=tuple(b"what is said?")), heard),
        prompt(TokenMessage(Role.USER, text=tuple(b"hi"))),  # no audio: upstream fails
        prompt(heard, TokenMessage(Role.ASSISTANT, text=tuple(b"ok")), heard),  # two segments
    ]


@pytest.mark.parametrize("reply", list(Reply))
@pytest.mark.parametrize("static", [False, True])
def test_batch_gives_what_each_prompt_gives_alone(
    network: AudioLlm, prompts: list[LlmPrompt], reply: Reply, static: bool
) -> None:
    settings = GenerateSettings(reply=reply, max_new_tokens=12, static_cache=static)
    together = generate(network, prompts, settings)
    assert together == [generate(network, [one], settings)[0] for one in prompts]
    # A random text head also draws audio ids, which are no text: 12 at most.
    assert all(0 < len(result.text) <= 12 for result in together)
    most = 12 - CONFIG.audio_delay if reply is Reply.BOTH else 0
    assert all(len(result.codes) <= most for result in together)


def test_stream_yields_as_it_goes_and_can_be_left(
    network: AudioLlm, prompts: list[LlmPrompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GenerateSettings(reply=Reply.BOTH, max_new_tokens=12)
    calls: list[int] = []
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda *a, **k: (calls.append(1), forward(*a, **k))[1])
    steps = stream(network, prompts[0], settings)
    for count in (1, 2, 3):
        next(steps)
        assert len(calls) == count
    steps.close()
    assert len(calls) == 3


def test_drawing_is_seeded(network: AudioLlm, prompts: list[LlmPrompt]) -> None:
    drawn = [
        generate(
            network,
            prompts[:1],
            GenerateSettings(max_new_tokens=12, seed=seed, text=Sampling(temperature=2.0, top_k=0)),
        )
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_limits_are_said(network: AudioLlm, prompts: list[LlmPrompt]) -> None:
    length = len(prompts[1].audio_ids)
    with pytest.raises(NoRoom, match=f"{length} tokens of prompt and 2048 of reply exceed"):
        generate(network, prompts[1:2], GenerateSettings(max_new_tokens=2048))
    with pytest.raises(NoRoom, match=f"a prompt of {length} tokens leaves no room"):
        generate(network, prompts[1:2], GenerateSettings(longest_text=length))
    settings = GenerateSettings(longest_text=length + 3)
    assert len(list(stream(network, prompts[1], settings))) == 3
    (cut,) = generate(network, prompts[1:2], settings)
    assert not cut.complete


def test_each_row_has_its_own_limit(network: AudioLlm, prompts: list[LlmPrompt]) -> None:
    lengths = [len(one.audio_ids) for one in prompts]
    settings = GenerateSettings(longest_text=max(lengths) + 2)
    steps = list(decode(network, prompts, settings))
    taken = [sum(step[row] is not None for step in steps) for row in range(len(prompts))]
    assert taken == [max(lengths) + 2 - length for length in lengths]


def test_penalty_is_each_rows_own() -> None:
    from wavemill.model.generate.generate import sample

    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    recent = torch.tensor([[0, 0], [2, 2]])
    chosen = sample(logits, recent, Sampling(repetition_penalty=3.0, repetition_window=1))
    assert chosen.tolist() == [1, 0]
    assert logits[0, 0] == 2.0
