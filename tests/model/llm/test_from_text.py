from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from wavemill.model.io.folders import WeightsError
from wavemill.model.llm.config import LlmConfig
from wavemill.model.llm.from_text import from_text_llm
from wavemill.model.llm.network import AudioLlm

TEXT_VOCAB = 50
CONFIG = LlmConfig(
    vocab_size=TEXT_VOCAB + 40 + 32,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rope_theta=1e6,
    branch_layer=1,
    audio_layers=2,
    text_vocab=TEXT_VOCAB,
    audio_offset=TEXT_VOCAB + 40,
    feature_width=24,
)


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def qwen(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Qwen2ForCausalLM, Path]:
    torch.manual_seed(0)
    text = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=TEXT_VOCAB + 14,  # a text LLM's matrices have rows that are no text
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=request.param,
        )
    ).eval()
    text.save_pretrained(tmp_path)
    return text, tmp_path


@torch.no_grad()
def test_text_branch_computes_what_the_text_llm_does(qwen: tuple[Qwen2ForCausalLM, Path]) -> None:
    text, folder = qwen
    network = from_text_llm(folder, CONFIG)
    # A stream of ids whose embedding is zero leaves the text LLM's input.
    network.model.embed_tokens.weight[TEXT_VOCAB] = 0
    ids = torch.randint(TEXT_VOCAB, (2, 9))
    output = network(torch.full_like(ids, TEXT_VOCAB), ids)
    wanted = text(ids).logits[..., :TEXT_VOCAB]
    assert torch.allclose(output.text_logits[..., :TEXT_VOCAB], wanted, atol=1e-5)


def test_what_has_no_origin_is_random_and_seeded(qwen: tuple[Qwen2ForCausalLM, Path]) -> None:
    _, folder = qwen
    first, again, other = (from_text_llm(folder, CONFIG, seed).state_dict() for seed in (0, 0, 1))
    fresh = {name for name in first if not torch.equal(first[name], other[name])}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert "mimo_output.weight" in fresh
    assert "model.mimo_layers.0.mlp.up_proj.weight" in fresh
    assert "model.vq_adaptor.layers.0.weight" in fresh
    assert not any(name.startswith("model.layers.") for name in fresh)
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        text, rest = first[name][:TEXT_VOCAB], first[name][TEXT_VOCAB:]
        assert torch.equal(text, other[name][:TEXT_VOCAB])
        assert 0.5 * 0.02 < rest.std() < 1.5 * 0.02


def test_goes_to_another_dtype_and_survives_saving(
    qwen: tuple[Qwen2ForCausalLM, Path], tmp_path: Path
) -> None:
    network = from_text_llm(qwen[1], CONFIG, dtype=torch.bfloat16)
    network.save_pretrained(tmp_path / "audio")
    read = AudioLlm.from_pretrained(tmp_path / "audio")
    assert read.config.published() == network.config.published()
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(read.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 64}, "hidden_size is 32, wanted 64"),
        ({"rope_theta": 10000.0}, r"rope_theta is 1000000.0, wanted 10000.0"),
        ({"text_vocab": 65}, "vocab_size is 64, below 65 text ids"),
    ],
)
def test_refuses_a_text_llm_of_another_shape(
    qwen: tuple[Qwen2ForCausalLM, Path], change: dict[str, float], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        from_text_llm(qwen[1], CONFIG.model_copy(update=change))
