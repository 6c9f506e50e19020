"""Whole trainings of speech networks, from a corpus to a model folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.model.train.speech.made import made_clip, write_corpus
from wavemill.model.data.source import DataError
from wavemill.model.detokenizer.config import DetokenizerConfig
from wavemill.model.detokenizer.detokenizer import Detokenizer
from wavemill.model.tokenizer.semantic import SemanticTokenizer
from wavemill.model.train.checkpoint import RunChanged, checkpoints
from wavemill.model.train.loop import Job, work
from wavemill.model.train.metrics import FILE
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import PRESETS, shipped
from wavemill.model.train.speech.recipe import STAGES, DetokenizerRecipe, TokenizerRecipe
from wavemill.model.train.speech.setup import DetokenizerTraining, TokenizerTraining

QUICK = {
    "hours": 4 * 0.48 / 3600,  # some four steps
    "clips": {"batch_s": 0.48, "crop_tokens": 2},
    "loop": {"evaluation": {"batches": 1, "examples": 1}, "checkpoint": {"steps": 2}},
}
JUDGES = {
    "periods": [2],
    "period_channels": [4, 4],
    "scales": 0,
    "resolutions": [],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("corpus")
    clips = [made_clip(n, 3) for n in range(9)]
    write_corpus(folder, clips, files=2, others=clips[8:])
    return str(folder)


def detokenizer(corpus: str, run: Path, stage: str, init: Path | None = None) -> Job:
    flow = QUICK | {"clips": {"batch_s": 0.48}}
    told = {
        "preset": "tiny",
        "flow": flow,
        "chunks": flow | {"flow": {"chunked": True, "shortest_chunk_s": 0.08}},
        "vocoder": QUICK | {"vocoder": {"discriminators": JUDGES}},
    }
    recipe = DetokenizerRecipe.model_validate(told)
    (known,) = (one for one in STAGES if one == stage)
    return DetokenizerTraining(corpus, recipe.of_stage(known), run, known, recipe.preset, init=init)


def tokenizer(corpus: str, run: Path) -> Job:
    told = QUICK | {"clips": {"batch_s": 0.48}, "tokenizer": {"decoder": {"layers": 1}}}
    return TokenizerTraining(corpus, TokenizerRecipe.model_validate(told), run)


def stopped_after(job: Job, steps: int) -> Job:
    """Return a job that ends early, as if it had been killed."""
    told = job.loop.model_dump() | {"stop_after_steps": steps}
    recipe = type(job.recipe).model_validate(job.recipe.model_dump() | {"loop": told})
    return replace(job, recipe=recipe)


@pytest.mark.parametrize("what", ["tokenizer", "flow", "vocoder"])
def test_a_resumed_run_ends_in_the_same_weights(corpus: str, tmp_path: Path, what: str) -> None:
    def job(run: Path) -> Job:
        return tokenizer(corpus, run) if what == "tokenizer" else detokenizer(corpus, run, what)

    whole, parts = job(tmp_path / "whole"), job(tmp_path / "parts")
    assert work(whole, Ranks()).complete
    assert not work(stopped_after(parts, 3), Ranks()).complete
    assert work(parts, Ranks()).complete
    files = [sorted(checkpoints(j.run)[-1].glob("*.safetensors")) for j in (whole, parts)]
    for first, second in zip(*files, strict=True):
        ours, theirs = load_file(first), load_file(second)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    told = [
        json.loads(line) for line in (whole.run / FILE).read_text(encoding="utf-8").splitlines()
    ]
    steps = [record for record in told if record["kind"] == "train"]
    assert steps
    assert all(record["flops_utilisation"] > 0 for record in steps)
    if what == "tokenizer":
        SemanticTokenizer.from_pretrained(whole.run / "model")
    else:
        Detokenizer.from_pretrained(whole.run / "model")


def test_stages_follow_each_other(corpus: str, tmp_path: Path) -> None:
    work(detokenizer(corpus, tmp_path / "flow", "flow"), Ranks())
    begun = tmp_path / "flow" / "model"
    assert Detokenizer.from_pretrained(begun).flow.config.semantic_vocab_size == 32
    work(detokenizer(corpus, tmp_path / "vocoder", "vocoder", begun), Ranks())
    first = Detokenizer.from_pretrained(begun)
    second = Detokenizer.from_pretrained(tmp_path / "vocoder" / "model")
    weights = [d.flow.final_layer.linear.weight for d in (first, second)]
    assert torch.equal(*weights)  # the vocoder's stage leaves the flow network alone
    assert not torch.equal(first.vocoder.conv_pre.weight, second.vocoder.conv_pre.weight)
    work(detokenizer(corpus, tmp_path / "chunks", "chunks", begun), Ranks())
    third = Detokenizer.from_pretrained(tmp_path / "chunks" / "model")
    assert not torch.equal(weights[0], third.flow.final_layer.linear.weight)


def test_another_recipe_does_not_go_on(corpus: str, tmp_path: Path) -> None:
    job = detokenizer(corpus, tmp_path, "flow")
    work(stopped_after(job, 2), Ranks())
    recipe = job.recipe.model_copy(update={"epochs": 7.0})
    with pytest.raises(RunChanged):
        work(replace(job, recipe=recipe), Ranks())


def test_another_codebook_is_told(corpus: str, tmp_path: Path) -> None:
    from tests.model.detokenizer.made import CONFIG

    config = CONFIG.model_copy(
        update={"flow": CONFIG.flow.model_copy(update={"semantic_vocab_size": 7})}
    )
    Detokenizer.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="knows 7 semantic tokens, the corpus has 32"):
        work(detokenizer(corpus, tmp_path / "run", "chunks", tmp_path), Ranks())


@pytest.mark.parametrize("name", PRESETS)
def test_recipes_that_ship_are_valid(name: str) -> None:
    recipe = DetokenizerRecipe.model_validate(shipped("detokenizer", name))
    assert all(recipe.of_stage(stage).loop.optimizer.learning_rate > 0 for stage in STAGES)
    assert recipe.speaker.flow.chunked
    encoder = TokenizerRecipe.model_validate(shipped("tokenizer", name)).encoder
    networks = DetokenizerConfig.preset(recipe.preset)
    assert encoder.quantize_vocab_size == networks.flow.semantic_vocab_size
