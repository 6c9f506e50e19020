from __future__ import annotations

import pytest
import torch

from wavemill.model.engine import Engine
from wavemill.model.generate.prompt import LlmPrompt
from wavemill.model.generate.sampling import Draws, candidates, chosen
from wavemill.model.generate.settings import GenerateSettings, NoRoom, Sampling
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
def test_batch_gives_what_each_prompt_gives_alone(
    network: AudioLlm, prompts: list[LlmPrompt], reply: Reply
) -> None:
    settings = GenerateSettings(reply=reply, max_new_tokens=12)
    together = Engine(network).replies(prompts, settings)
    assert together == [Engine(network).replies([one], settings)[0] for one in prompts]
    # A random text head also draws audio ids, which are no text: 12 at most.
    assert all(0 < len(result.text) <= 12 for result in together)
    most = 12 - CONFIG.audio_delay if reply is Reply.BOTH else 0
    assert all(len(result.codes) <= most for result in together)


def test_stream_yields_as_it_goes_and_can_be_left(
    network: AudioLlm, prompts: list[LlmPrompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GenerateSettings(reply=Reply.BOTH, max_new_tokens=12)
    calls: list[int] = []
    forward, engine = network.model.forward, Engine(network)
    monkeypatch.setattr(
        network.model, "forward", lambda *a, **k: (calls.append(1), forward(*a, **k))[1]
    )
    steps = engine.stream(prompts[0], settings)
    for count in (1, 2, 3):
        next(steps)
        assert len(calls) == count
    steps.close()
    assert len(calls) == 3
    assert not engine.busy


def test_drawing_is_seeded(network: AudioLlm, prompts: list[LlmPrompt]) -> None:
    drawn = [
        Engine(network).replies(
            prompts[:1],
            GenerateSettings(max_new_tokens=12, seed=seed, text=Sampling(temperature=2.0, top_k=0)),
        )
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_limits_are_said(network: AudioLlm, prompts: list[LlmPrompt]) -> None:
    length = len(prompts[1].audio_ids)
    with pytest.raises(NoRoom, match=f"{length} tokens of prompt and 2048 of reply exceed"):
        Engine(network).replies(prompts[1:2], GenerateSettings(max_new_tokens=2048))
    with pytest.raises(NoRoom, match=f"a prompt of {length} tokens leaves no room"):
        Engine(network).replies(prompts[1:2], GenerateSettings(longest_text=length))
    settings = GenerateSettings(longest_text=length + 3)
    assert len(list(Engine(network).stream(prompts[1], settings))) == 3
    (cut,) = Engine(network).replies(prompts[1:2], settings)
    assert not cut.complete


def test_each_row_has_its_own_limit(network: AudioLlm, prompts: list[LlmPrompt]) -> None:
    lengths = [len(one.audio_ids) for one in prompts]
    settings = GenerateSettings(longest_text=max(lengths) + 2)
    engine = Engine(network)
    handles = [engine.add(one, settings) for one in prompts]
    pieces = []
    while engine.busy:
        pieces += engine.step()
    taken = [sum(piece.handle == handle for piece in pieces) for handle in handles]
    assert taken == [max(lengths) + 2 - length for length in lengths]


def test_penalty_is_each_rows_own() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    settings = Sampling(repetition_penalty=3.0, repetition_window=1)
    found = chosen(logits, settings, [[0, 0], [2, 2], [0]], [None] * 3)
    assert found.tolist() == [1, 0, 0]
    assert logits[0, 0] == 2.0


@pytest.mark.parametrize("temperature", [1e-5, 1e-3, 0.02, 0.8, 5.0])
def test_weights_do_not_vanish_at_low_temperatures(temperature: float) -> None:
    """As powers of probabilities, all weights of this row are 0 from 0.02 on downwards."""
    logits = torch.randn(1, 2000, generator=torch.Generator().manual_seed(0))
    settings = Sampling(temperature=temperature, top_k=5)
    weights, ids = candidates(logits, settings)
    assert float(weights.sum()) == pytest.approx(1.0)
    drawn = chosen(logits, settings, [[]], [Draws(0).noise(settings, 2000)])
    assert drawn.item() in ids.tolist()[0]
    if temperature <= 0.02:
        assert drawn.item() == int(logits.argmax())


def test_draws_are_those_of_multinomial() -> None:
    """A seed gives what it gave when `torch.multinomial` drew from the published weights."""
    logits = torch.randn(1, 400, generator=torch.Generator().manual_seed(0))
    settings, draws = Sampling(temperature=0.8, top_k=10), Draws(5)
    published = (logits.log_softmax(-1) / 0.8).exp().topk(10)
    generator = torch.Generator().manual_seed(5)
    for _ in range(50):
        place = torch.multinomial(published.values, 1, generator=generator)
        found = chosen(logits, settings, [[]], [draws.noise(settings, 400)])
        assert found.item() == published.indices[0, int(place)]


def test_top_k_beyond_the_vocabulary_is_said_at_once(
    network: AudioLlm, prompts: list[LlmPrompt]
) -> None:
    settings = GenerateSettings(text=Sampling(temperature=1.0, top_k=2369))
    engine = Engine(network)
    with pytest.raises(ValueError, match="top_k is 2369, the vocabulary has 2368 ids"):
        engine.add(prompts[0], settings)
    assert not engine.busy
