"""LoRA: nothing changes before the first step, little is learnt, and the export has it in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.model.data.made import conversation_row, write
from wavemill.model.io.tensors import stored_tensors
from wavemill.model.llm.config import preset
from wavemill.model.llm.network import AudioLlm
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.loop import work
from wavemill.model.train.lora import adapt, matrices, merge
from wavemill.model.train.memory import CARDS, need
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import LoraSettings, SftRecipe


def test_merged_weights_say_what_both_said() -> None:
    torch.manual_seed(0)
    llm = AudioLlm(preset("tiny"))
    ids = torch.arange(9)[None]
    before = llm(ids, ids)
    adapt(llm, matrices(llm), LoraSettings(rank=2))
    learnt = [n for n, p in llm.named_parameters() if p.requires_grad]
    assert len(learnt) == 2 * (7 * 7 + 2)
    assert all("adapter_" in name for name in learnt)
    assert torch.equal(llm(ids, ids).text_logits, before.text_logits)
    for name in learnt:
        torch.nn.init.normal_(llm.get_parameter(name), std=0.1)
    adapted = llm(ids, ids)
    assert not torch.allclose(adapted.text_logits, before.text_logits, atol=1e-2)
    merge(llm)
    merged = llm(ids, ids)
    for one, other in ((merged, adapted),):
        torch.testing.assert_close(one.text_logits, other.text_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one.audio_logits, other.audio_logits, atol=1e-4, rtol=1e-4)
    assert not any("adapter_" in name for name in llm.state_dict())


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_a_training_learns_the_additions_alone(weights: str, tmp_path: Path) -> None:
    corpus = write(tmp_path / "work", "sft", [[conversation_row(i) for i in range(6)]])
    whole = {"data": {"positions": 128}, "tokens": 600, "loop": {"checkpoint": {"steps": 2}}}
    plain = LlmTraining(str(corpus), SftRecipe.model_validate(whole), tmp_path / "whole")
    plain.learner().export(tmp_path / "init")
    whole["lora"] = {"rank": 2}
    whole["loop"] |= {
        "weights": weights, "precision": weights, "optimizer": {"learning_rate": 1e-2},
    }  # fmt: skip

    def job(run: str, **loop: object) -> LlmTraining:
        recipe = SftRecipe.model_validate(whole | {"loop": whole["loop"] | loop})
        return LlmTraining(str(corpus), recipe, tmp_path / run, init=tmp_path / "init")

    assert work(job("run"), Ranks()).complete
    first, last = (
        {name: stored.read("cpu") for name, stored in stored_tensors(folder).items()}
        for folder in (tmp_path / "init", tmp_path / "run" / "model")
    )
    assert first.keys() == last.keys()
    changed = {n for n in first if not torch.equal(first[n].to(last[n].dtype), last[n])}
    assert "lm_head.weight" in changed
    assert all("norm" not in name and "embed" not in name for name in changed)
    # A run that was stopped goes on to the same weights.
    work(job("stopped", stop_after_steps=3), Ranks())
    work(job("stopped"), Ranks())
    again = stored_tensors(tmp_path / "stopped" / "model")
    assert all(torch.equal(again[name].read("cpu"), last[name]) for name in last)


def test_it_is_refused_where_it_does_not_go() -> None:
    with pytest.raises(ValidationError, match="lora: its weights are not sharded"):
        SftRecipe.model_validate({"lora": {}, "loop": {"shard": True}})


def test_the_7b_fits_where_it_should() -> None:
    whole, additions = need("published", "float32", 8192), need("published", "lora", 8192)
    assert not any(whole.fits(card) for card in CARDS.values())
    assert whole.fits(CARDS["80 GB"], 8)
    assert additions.fits(CARDS["48 GB"])
