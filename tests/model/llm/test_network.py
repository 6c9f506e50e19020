from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.model.llm.rows import collate, read, stepped
from wavemill.model.generate.prompt import LlmPrompt, pack
from wavemill.model.llm.cache import Memory
from wavemill.model.llm.config import PRESETS, LlmConfig, preset
from wavemill.model.llm.network import AudioLlm

PAD = 319


@pytest.fixture(scope="module")
def network() -> AudioLlm:
    torch.manual_seed(0)
    return AudioLlm(preset("tiny")).eval()


def sample(length: int, *segments: tuple[int, int], seed: int = 0) -> LlmPrompt:
    """Return random streams; features are of the (start, end) segments."""
    generator = torch.Generator().manual_seed(seed)
    continuous = torch.zeros(length, dtype=torch.bool)
    for start, end in segments:
        continuous[start:end] = True
    return LlmPrompt(
        torch.randint(320, 2368, (length,), generator=generator),
        torch.randint(256, (length,), generator=generator),
        continuous,
        [torch.randn(end - start, 256, generator=generator) for start, end in segments],
    )


SAMPLES = [
    sample(23, (2, 9), (11, 20), seed=1),  # two segments
    sample(12, (1, 7), seed=2),
    sample(17, seed=3),  # text only
]


@pytest.mark.parametrize("left", [False, True])
@torch.no_grad()
def test_rows_of_a_batch_give_what_they_give_alone(network: AudioLlm, left: bool) -> None:
    """Features, several segments, padding and text-only prompts, which upstream mixes up."""
    batch = collate(SAMPLES, PAD, left)
    together = network(**batch)
    for row, one in enumerate(SAMPLES):
        alone = network(**collate([one], PAD))
        count = len(one.audio_ids)
        span = slice(-count, None) if left else slice(count)
        for name in ("audio_logits", "text_logits"):
            found = getattr(together, name)[row, span]
            assert torch.allclose(found, getattr(alone, name)[0], atol=2e-5)


@torch.no_grad()
def test_rows_of_any_length_go_on_in_their_slots(network: AudioLlm) -> None:
    """Prompts are read together, and each step gives what the whole row gives at that position."""
    steps, memory = 5, Memory()
    more = torch.randint(320, 2368, (steps, 3)), torch.randint(256, (steps, 3))
    scores = [read(network, SAMPLES, memory)]
    lengths = [len(one.audio_ids) for one in SAMPLES]
    for step in range(steps):
        scores.append(stepped(network, more[0][step], more[1][step], lengths, memory))
        lengths = [length + 1 for length in lengths]
    for row, one in enumerate(SAMPLES):
        whole = network(
            torch.cat([one.audio_ids, more[0][:, row]])[None],
            torch.cat([one.text_ids, more[1][:, row]])[None],
            features=one.packed(),
            continuous=torch.cat([one.continuous, torch.zeros(steps, dtype=torch.bool)])[None],
        )
        for name in ("audio_logits", "text_logits"):
            found = torch.stack([getattr(output, name)[row] for output in scores])
            wanted = getattr(whole, name)[0, len(one.audio_ids) - 1 :]
            assert torch.allclose(found, wanted, atol=2e-5)


@torch.no_grad()
def test_a_row_leaves_its_slot_to_the_last_one(network: AudioLlm) -> None:
    memory, more = Memory(), torch.randint(256, (2,))
    read(network, SAMPLES, memory)
    memory.leave(0)
    assert [part.owners for part in memory.parts] == [[2, 1]] * 3
    lengths = [len(SAMPLES[2].audio_ids), len(SAMPLES[1].audio_ids)]
    found = stepped(network, more + 320, more, lengths, memory)
    for row, one in enumerate((SAMPLES[2], SAMPLES[1])):
        alone = Memory()
        read(network, [one], alone)
        wanted = stepped(network, more[[row]] + 320, more[[row]], [lengths[row]], alone)
        assert torch.allclose(found.text_logits[row], wanted.text_logits[0], atol=2e-5)
        assert torch.allclose(found.audio_logits[row], wanted.audio_logits[0], atol=2e-5)


@torch.no_grad()
def test_slots_grow_beyond_their_first_capacity(network: AudioLlm) -> None:
    long, memory = sample(300), Memory()
    whole = network(long.audio_ids[None], long.text_ids[None])
    first = LlmPrompt(long.audio_ids[:250], long.text_ids[:250], long.continuous[:250])
    found = [read(network, [first], memory).text_logits]
    for place in range(250, 300):
        ids = long.audio_ids[[place]], long.text_ids[[place]]
        found.append(stepped(network, *ids, [place], memory).text_logits)
    assert torch.allclose(torch.cat(found), whole.text_logits[0, 249:], atol=2e-5)
    assert memory.trunk.capacity == 512


@torch.no_grad()
def test_a_branch_that_a_row_does_not_need_is_not_computed(
    network: AudioLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"audio": 0, "text": 0}
    for name, layer in (
        ("audio", network.model.mimo_layers[0]),
        ("text", network.model.layers[-1]),
    ):
        forward = layer.forward

        def counted(
            hidden: torch.Tensor, _name: str = name, _forward: Any = forward, **given: Any
        ) -> Any:
            rows[_name] += hidden.shape[1]
            return _forward(hidden, **given)

        monkeypatch.setattr(layer, "forward", counted)
    memory = Memory()
    # The first row only speaks, the second only writes, the third does both.
    read(network, SAMPLES, memory, text=(1, 2), audio=(0, 2))
    assert rows == {"audio": 23 + 17, "text": 12 + 17}
    rows |= {"audio": 0, "text": 0}
    ids = torch.randint(256, (3,))
    output = stepped(network, ids + 320, ids, [23, 12, 17], memory)
    assert rows == {"audio": 2, "text": 2}
    assert len(output.audio_logits) == len(output.text_logits) == 2
    everything = Memory()
    read(network, SAMPLES, everything)
    wanted = stepped(network, ids + 320, ids, [23, 12, 17], everything)
    assert torch.allclose(output.audio_logits, wanted.audio_logits[[0, 2]], atol=2e-5)
    assert torch.allclose(output.text_logits, wanted.text_logits[[1, 2]], atol=2e-5)


def test_features_must_fit_their_positions(network: AudioLlm) -> None:
    batch = collate(SAMPLES, PAD)
    with pytest.raises(ValueError, match="21 rows of features for 22 positions"):
        network(
            batch["audio_ids"],
            batch["text_ids"],
            features=batch["features"][:-1],
            continuous=batch["continuous"],
        )
    with pytest.raises(ValueError, match="1 features for 2 audio segments"):
        pack(SAMPLES[0].continuous, SAMPLES[0].features[:1])


@pytest.mark.parametrize(
    ("name", "least", "most"), [("tiny", 1e6, 5e6), ("small", 5e7, 1e8), ("published", 9e9, 1e10)]
)
def test_presets(name: str, least: float, most: float) -> None:
    with torch.device("meta"):
        network = AudioLlm(preset(name))
    assert least <= sum(p.numel() for p in network.parameters()) <= most
    assert set(PRESETS) == {"tiny", "small", "published"}
    with pytest.raises(ValueError, match="no configuration 'huge'"):
        preset("huge")


def test_published_config_survives_a_round_trip() -> None:
    values = preset("published").published() | {"max_window_layers": 28}  # a field of no use here
    config = LlmConfig.model_validate(values)
    assert config.published() == values
    assert config.audio_codes == 16384
    assert values["kimia_mimo_audiodelaytokens"] == config.audio_delay == 6


def test_rotary_base_is_read_where_newer_files_have_it() -> None:
    values = preset("published").published()
    values["rope_parameters"] = {"rope_type": "default", "rope_theta": values.pop("rope_theta")}
    assert LlmConfig.model_validate(values).rope_theta == 1e6
