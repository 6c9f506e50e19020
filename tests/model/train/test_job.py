"""What a checkpoint keeps of a job: runs that were begun once must go on with it for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.loop import Job
from wavemill.model.train.recipe import LoopSettings, OptimizerSettings, PretrainRecipe, SftRecipe
from wavemill.model.train.speech.recipe import DetokenizerRecipe, TokenizerRecipe
from wavemill.model.train.speech.setup import DetokenizerTraining, TokenizerTraining

RUN, MODEL = Path("run"), Path("/models/first")
DETOKENIZER = DetokenizerRecipe()


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (LlmTraining("work", SftRecipe(), RUN), {"training": "sft", "init": None}),
        (
            LlmTraining("work", PretrainRecipe(), RUN, init=MODEL),
            {"training": "pretrain", "init": "/models/first"},
        ),
        (TokenizerTraining("work", TokenizerRecipe(), RUN), {"training": "tokenizer"}),
        (
            DetokenizerTraining("work", DETOKENIZER.vocoder, RUN, "vocoder", "tiny", init=MODEL),
            {"training": "detokenizer/vocoder", "init": "/models/first", "preset": "tiny"},
        ),
    ],
)
def test_identity(job: Job, told: dict[str, object]) -> None:
    identity = job.identity()
    recipe = identity.pop("recipe")
    assert identity == told
    loop = recipe.pop("loop")
    wanted = job.recipe.model_dump(mode="json", exclude={"loop", "keep_features_mb"})
    # What was added later is in it once it is used, so that older runs can be resumed.
    for name in ("lora", "datasets", "hidden_codes"):
        assert not wanted.pop(name, None)
    for name in ("memory_gb", "workers"):
        assert not wanted.get("data", {}).pop(name, None)
    for name in ("prompt_share", "prompt_s"):
        wanted.get("clips", {}).pop(name, None)
    assert recipe == wanted
    assert loop == {
        "seed": 0,
        "micro_batches": 1,
        "precision": "float32",
        "threads": 1,
        "optimizer": OptimizerSettings().model_dump(mode="json"),
    }


def test_what_does_not_change_the_weights_is_no_part_of_it() -> None:
    often = LoopSettings.model_validate(
        {"log_steps": 1, "checkpoint": {"steps": 1}, "evaluation": {"steps": 1}}
    )
    loops = (often, LoopSettings())
    one, other = (LlmTraining("work", SftRecipe(loop=loop), RUN).identity() for loop in loops)
    assert one == other
