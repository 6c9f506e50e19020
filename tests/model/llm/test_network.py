from __future__ import annotations

import pytest
import torch

from wavemill.model.generate.generate import LlmPrompt, collate, pack
from wavemill.model.llm.cache import CacheFull, KeyValueCache
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
    together = network(**vars(batch))
    for row, one in enumerate(SAMPLES):
        alone = network(**vars(collate([one], PAD)))
        count = len(one.audio_ids)
        span = slice(-count, None) if left else slice(count)
        for name in ("audio_logits", "text_logits"):
            found = getattr(together, name)[row, span]
            assert torch.allclose(found, getattr(alone, name)[0], atol=2e-5)


@pytest.mark.parametrize("capacity", [None, 30])
@torch.no_grad()
def test_padded_batch_decodes_with_a_cache(network: AudioLlm, capacity: int | None) -> None:
    batch, steps, cache = collate(SAMPLES, PAD, left=True), 5, KeyValueCache(capacity)
    more = torch.randint(320, 2368, (3, steps)), torch.randint(256, (3, steps))
    positions = batch.position_ids[:, -1:] + 1 + torch.arange(steps)
    whole = network(
        torch.cat([batch.audio_ids, more[0]], 1),
        torch.cat([batch.text_ids, more[1]], 1),
        features=batch.features,
        continuous=torch.cat([batch.continuous, torch.zeros(3, steps, dtype=torch.bool)], 1),
        attention_mask=batch.attention_mask,
        position_ids=torch.cat([batch.position_ids, positions], 1),
    )
    network(**vars(batch), cache=cache)
    for step in range(steps):
        one = network(
            more[0][:, step : step + 1],
            more[1][:, step : step + 1],
            attention_mask=batch.attention_mask,
            position_ids=positions[:, step : step + 1],
            cache=cache,
        )
        at = whole.text_logits.shape[1] - steps + step
        assert torch.allclose(one.text_logits[:, 0], whole.text_logits[:, at], atol=2e-5)
        assert torch.allclose(one.audio_logits[:, 0], whole.audio_logits[:, at], atol=2e-5)


@torch.no_grad()
def test_cache_grows_beyond_its_first_capacity(network: AudioLlm) -> None:
    long, cache = sample(300), KeyValueCache()
    whole = network(long.audio_ids[None], long.text_ids[None])
    parts = [
        network(audio, text, cache=cache).text_logits
        for audio, text in zip(
            long.audio_ids[None].split(100, 1), long.text_ids[None].split(100, 1), strict=True
        )
    ]
    assert torch.allclose(torch.cat(parts, 1), whole.text_logits, atol=2e-5)


@torch.no_grad()
def test_static_cache_says_when_it_is_full(network: AudioLlm) -> None:
    with pytest.raises(CacheFull, match="0 \\+ 9 positions exceed 8"):
        network(
            SAMPLES[0].audio_ids[None, :9], SAMPLES[0].text_ids[None, :9], cache=KeyValueCache(8)
        )


def test_features_must_fit_their_positions(network: AudioLlm) -> None:
    batch = collate(SAMPLES, PAD)
    assert batch.features is not None
    with pytest.raises(ValueError, match="21 rows of features for 22 positions"):
        network(
            batch.audio_ids,
            batch.text_ids,
            features=batch.features[:-1],
            continuous=batch.continuous,
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
