"""The audio LLM against the stored cases of the published one (docs/published-format.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tests.model.conformance import (
    LLM,
    TABLE,
    needs_fixtures,
    notes,
    parts,
    run_notes,
    tensors,
    worst,
)
from tests.model.llm.rows import read
from wavemill.model.generate.prompt import LlmPrompt, pack
from wavemill.model.llm.cache import Memory
from wavemill.model.llm.config import LlmConfig, preset
from wavemill.model.llm.network import AudioLlm, LlmOutput, NextIds, rotary
from wavemill.model.train.llm import COUNT_FLOOR

pytestmark = needs_fixtures
TOLERANCE = 2e-5
HALF_TOLERANCE = 1e-3  # distance of float16 neighbours of 1: rounding may go either way
LOSSES = [name for name, noted in run_notes().items() if "grad_l2_norms" in noted]
CASES = parts(tensors("llm/cases"), r"(\w+)\.in\.") if LLM.is_dir() else []


@lru_cache
def network(dtype: torch.dtype | None = None) -> AudioLlm:
    return AudioLlm.from_pretrained(LLM / "llm", dtype=dtype)


def in_half(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attend as the published code does to a float32 model: on float16 queries, keys, values.

    The inner values of the fixtures were stored from such a run.
    """
    rounded = [t.half().float() for t in (query, key, value)]
    found, _ = sdpa_attention_forward(module, *rounded, mask, **settings)
    return found.half().float(), None


@pytest.fixture
def half_network() -> Iterator[AudioLlm]:
    AttentionInterface.register("in_half", in_half)
    config = network().model.layers[0].self_attn.config  # one object, which all layers share
    before, config._attn_implementation = config._attn_implementation, "in_half"
    yield network()
    config._attn_implementation = before


def arguments(case: str, file: str = "llm/cases", **changes: Any) -> dict[str, Any]:
    """Return the arguments of `AudioLlm.forward` for a stored case."""
    prefix = f"{case}.in."
    given = {n.removeprefix(prefix): t for n, t in tensors(file).items() if n.startswith(prefix)}
    text = given["text_input_ids"]
    features = [t[0] for name, t in given.items() if name.startswith("whisper_input_feature")]
    return {
        "audio_ids": given["input_ids"],
        # The published model leaves the text out when all ids are 0; here that is said plainly.
        "text_ids": text if text.any() else None,
        "features": pack(given["is_continuous_mask"][0], features) if features else None,
        "continuous": given.get("is_continuous_mask"),
        "attention_mask": given.get("attention_mask"),
        "position_ids": given.get("position_ids"),
    } | changes


def errors(output: LlmOutput, case: str, kind: str = "out", file: str = "llm/cases") -> float:
    """Return the worst error of both heads, over the positions that are not padding."""
    stored = tensors(file)
    mask = stored.get(f"{case}.in.attention_mask")
    real = torch.ones(output.text_logits.shape[:2]) if mask is None else mask
    return max(
        worst(found.float()[real.bool()], stored[f"{case}.{kind}.{name}"][real.bool()])
        for name, found in (
            ("audio_logits", output.audio_logits),
            ("text_logits", output.text_logits),
        )
    )


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_forward(case: str) -> None:
    output = network()(**arguments(case))
    TABLE.add("llm: logits", errors(output, case), TOLERANCE)


@torch.no_grad()
def test_forward_with_the_published_down_cast(half_network: AudioLlm) -> None:
    stored = tensors("llm/cases")
    cases = [case for case in CASES if f"{case}.out_fp16attn.text_logits" in stored]
    assert cases
    for case in cases:
        error = errors(half_network(**arguments(case)), case, "out_fp16attn")
        TABLE.add("llm: logits, float16 attention", error, HALF_TOLERANCE)


def test_every_stored_case_is_covered() -> None:
    """A kind of case that no test of this file knows is not passed over."""
    stored = {name.split(".")[0] for name in tensors("llm/cases")} - {"rotary"}
    assert stored == {*CASES, "incremental_cached"}


@pytest.mark.parametrize("longest", [None, 0])
@torch.no_grad()
def test_cached_decoding(longest: int | None) -> None:
    """With `longest` None, attention runs over whole slots, as a recorded step does."""
    whole = arguments("incremental_full")
    audio, text, memory = whole["audio_ids"][0], whole["text_ids"][0], Memory()
    prompt = notes("llm/cases")["cases"]["incremental_cached"]["prompt_len"]
    heard = whole["continuous"][0, :prompt]
    features = [whole["features"]] if whole["features"] is not None else []
    outputs = [read(network(), [LlmPrompt(audio[:prompt], text[:prompt], heard, features)], memory)]
    for place in range(prompt, prompt + 12):
        rows = torch.zeros(1, dtype=torch.int64)
        given = NextIds(audio[[place]], text[[place]], torch.tensor([place]), rows, rows)
        seen = None if longest is None else place + 1
        outputs.append(network().step(given, memory, seen))
    stored = tensors("llm/cases")
    for name in ("audio_logits", "text_logits"):
        found = torch.cat([getattr(output, name) for output in outputs])
        wanted = stored[f"incremental_cached.out.{name}"][0, prompt - 1 : prompt + 12]
        TABLE.add("llm: cached decoding", worst(found, wanted), TOLERANCE)


INNER = parts(tensors("llm/cases"), r"(\w+)\.mid\.") if LLM.is_dir() else []
CACHED = parts(tensors("llm/cases"), r"(\w+)\.cache\.") if LLM.is_dir() else []
ROUNDED = parts(tensors("llm/cases"), r"(\w+)\.out_bf16\.") if LLM.is_dir() else []


@pytest.mark.parametrize("case", INNER)
@torch.no_grad()
def test_inner_values(half_network: AudioLlm, case: str) -> None:
    model, given = half_network, arguments(case)
    seen: dict[str, Tensor] = {}
    names = [n for n, _ in model.model.named_modules() if n.split(".")[-1].isdigit()]
    blocks = [n for n in names if "layers." in n and "vq_adaptor" not in n]
    hooks = [
        model.model.get_submodule(name).register_forward_hook(
            lambda _module, _args, output, name=name: seen.__setitem__(name, output)
        )
        for name in [*blocks, "norm", "mimo_norm"]
    ]
    model(**given)
    for hook in hooks:
        hook.remove()
    seen["inputs_embeds"] = model.model.embed(
        given["audio_ids"], given["text_ids"], given["features"], given["continuous"]
    )
    if given["features"] is not None:
        everywhere = torch.zeros(*given["audio_ids"].shape, given["features"].shape[1])
        everywhere[given["continuous"]] = given["features"]
        seen["vq_adaptor_out"] = model.model.vq_adaptor(everywhere)
    stored, start = tensors("llm/cases"), f"{case}.mid."
    for name in parts(stored, f"{case}\\.mid\\.(.*)"):
        error = worst(seen[name], stored[start + name])
        TABLE.add("llm: inner values", error, HALF_TOLERANCE)


@pytest.mark.parametrize("case", CACHED)
@torch.no_grad()
def test_cache_holds_rotated_keys_and_values(case: str) -> None:
    stored, given, memory = tensors("llm/cases"), arguments(case), Memory()
    text_ids = given["text_ids"]
    assert text_ids is not None
    assert given["attention_mask"] is None
    features = [] if given["features"] is None else [given["features"]]
    heard = torch.zeros_like(given["audio_ids"], dtype=torch.bool)
    heard = heard if given["continuous"] is None else given["continuous"]
    one = LlmPrompt(given["audio_ids"][0], text_ids[0], heard[0], features)
    read(network(), [one], memory)
    shared, count = network().config.branch_layer, len(one.audio_ids)
    for name in parts(stored, f"{case}\\.cache\\.(\\w+)\\."):
        kind, number = re.fullmatch(r"(mimo_)?layer(\d+)", name).groups()  # type: ignore[union-attr]
        layer = int(number) + (network().config.num_hidden_layers if kind else 0)
        part_of = memory.audio if kind else memory.trunk if layer <= shared else memory.text
        for part, found in zip(("key", "value"), part_of.held(layer, 0, count), strict=True):
            error = worst(found.transpose(0, 1)[None], stored[f"{case}.cache.{name}.{part}"])
            TABLE.add("llm: keys and values", error, TOLERANCE)


def test_rotary() -> None:
    stored, config = tensors("llm/cases"), network().config
    positions = torch.arange(config.max_position_embeddings)[None]
    found = rotary(positions, config.head_width, config.rope_theta, torch.float32)
    for name, table in zip(("cos", "sin"), found, strict=True):
        TABLE.add("llm: rotary tables", worst(table[0], stored[f"rotary.{name}"]), 1e-6)


@pytest.mark.parametrize("case", ROUNDED)
@torch.no_grad()
def test_bfloat16(case: str) -> None:
    """Indicative only: other kernels round otherwise; the stored error against float32 is 0.064."""
    output = network(torch.bfloat16)(**arguments(case))
    assert output.audio_logits.dtype == torch.bfloat16
    TABLE.add("llm: logits, bfloat16", errors(output, case, "out_bf16"), 0.1)
    for name in ("audio_logits", "text_logits"):
        best = tensors("llm/cases")[f"{case}.out.{name}"].argmax(-1)
        agreement = (getattr(output, name).argmax(-1) == best).float().mean()
        assert agreement > 0.95


@torch.no_grad()
def test_feature_longer_than_its_segment_is_cut_and_a_shorter_one_refused() -> None:
    stored = tensors("llm/cases")
    mask, feature = stored["audio_text.in.is_continuous_mask"][0], "whisper_input_feature.0"
    rows = stored[f"audio_text.in.{feature}"][0]
    longer = torch.cat([rows, torch.ones(3, rows.shape[1])])
    assert torch.equal(pack(mask, [longer]), rows[: int(mask.sum())])
    with pytest.raises(ValueError, match="has 30 positions, its feature 29 rows"):
        pack(mask, [rows[:-1]])


def mean_loss(logits: Tensor, labels: Tensor, loss_mask: Tensor) -> Tensor:
    """Return the published loss of a stream: mean cross entropy in nats over `loss_mask`."""
    wanted = labels[loss_mask]
    summed = functional.cross_entropy(logits[loss_mask].float(), wanted, reduction="sum")
    return summed / (wanted.numel() + COUNT_FLOOR)


@pytest.mark.parametrize("case", LOSSES)
def test_losses_and_gradients(case: str) -> None:
    stored, expected = tensors("llm/run_cases"), notes("llm/run_cases")[case]
    model = AudioLlm.from_pretrained(LLM / "llm")
    output = model(**arguments(case, "llm/run_cases"))
    TABLE.add("llm: logits", errors(output, case, file="llm/run_cases"), TOLERANCE)
    losses = {
        stream: mean_loss(
            getattr(output, f"{stream}_logits"),
            stored[f"{case}.in.{stream}_labels"],
            stored[f"{case}.in.{stream}_loss_mask"],
        )
        for stream in ("audio", "text")
    }
    losses["both"] = losses["audio"] + losses["text"]
    for name, wanted in (("both", "loss"), ("audio", "audio_loss"), ("text", "text_loss")):
        error = abs(float(losses[name].detach()) - expected[wanted])
        TABLE.add("llm: losses", error, TOLERANCE)
    losses["both"].backward()
    parameters = dict(model.named_parameters())
    assert parameters.keys() == expected["grad_l2_norms"].keys()
    for name, norm in expected["grad_l2_norms"].items():
        gradient = parameters[name].grad
        found = 0.0 if gradient is None else float(gradient.norm())
        TABLE.add("llm: gradient norms", abs(found - norm), TOLERANCE)
    for name, tensor in stored.items():
        if name.startswith(f"{case}.grad."):
            gradient = parameters[name.removeprefix(f"{case}.grad.")].grad
            found = torch.zeros_like(tensor) if gradient is None else gradient
            TABLE.add("llm: gradients", worst(found, tensor), TOLERANCE)


def test_names_and_shapes_of_the_published_model() -> None:
    stored = notes("llm_7b_names")
    for config in (LlmConfig.model_validate(stored["config_used"]), preset("published")):
        with torch.device("meta"):
            model = AudioLlm(config)
        shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
        TABLE.add("llm: names and shapes of the 7B", float(shapes != stored["parameters"]))
        assert sum(p.numel() for p in model.parameters()) == stored["num_parameters"]
