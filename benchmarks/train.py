"""How fast the LLM learns, and how much of the time it waits for data.

    python -m benchmarks.train WORKDIR --config tiny --steps 120
    python -m benchmarks.train WORKDIR --config published-layers --steps 20   # one large GPU

Trains in this process, as `wavemill train ... --executor inline` does, and reads what the training
itself measures; the first lines, in which caches fill and windows are read, do not count.
`published-layers` has the layer shapes of the published model (hidden 3584, MLP 18944, 28 heads),
fewer layers, random weights, bfloat16 and recomputed activations.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from wavemill.model.data.corpus import Corpus
from wavemill.model.train.llm import LlmTraining
from wavemill.model.train.loop import work
from wavemill.model.train.metrics import FILE
from wavemill.model.train.ranks import Ranks
from wavemill.model.train.recipe import SftRecipe, shipped
from wavemill.pipeline.recipes import recipe_of
from wavemill.pipeline.training_tokenizer import tokenizer_folder

LOG_STEPS = 10
UNCOUNTED = 2  # lines of metrics at the start
PUBLISHED_LAYERS: dict[str, Any] = {
    "network": {
        "preset": "small",
        "llm": {
            "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28,
            "num_key_value_heads": 4, "num_hidden_layers": 8, "kimia_mimo_layers": 2,
            "kimia_mimo_transformer_from_layer_index": 5,
        },
    },
    "data": {"positions": 8192},
    "loop": {"precision": "bfloat16", "recompute": True},
}  # fmt: skip


def main(
    corpus: Annotated[str, typer.Argument(help="WORKDIR with an `sft` corpus.")],
    config: Annotated[str, typer.Option(help="tiny, small, or published-layers.")] = "tiny",
    steps: Annotated[int, typer.Option(help="Steps; the first twenty do not count.")] = 120,
    threads: Annotated[int, typer.Option(help="Of torch, on a CPU.")] = 1,
    augment: Annotated[bool, typer.Option(help="Hear other voices in each epoch.")] = False,
) -> None:
    """Print tokens per second, share of time waiting for data, and FLOPs utilisation."""
    names = {name: shipped("sft", name) for name in ("tiny", "small")}
    names["published-layers"] = PUBLISHED_LAYERS
    told = [
        f"loop.stop_after_steps={steps}", f"loop.log_steps={LOG_STEPS}", "epochs=1000",
        f"loop.threads={threads}",
    ]  # fmt: skip
    recipe = recipe_of(SftRecipe, names, config, told + (["augment={}"] if augment else []))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        told_by = Corpus.open(corpus, "sft").metadata["semantic_tokenizer"]
        semantic = tokenizer_folder(run, told_by, None, None)
        began = time.perf_counter()
        work(LlmTraining(corpus, recipe, run, semantic=semantic), Ranks(device=device))
        elapsed = time.perf_counter() - began
        lines = [json.loads(line) for line in (run / FILE).read_text(encoding="utf-8").splitlines()]
    counted = [one for one in lines if one["kind"] == "train"][UNCOUNTED:]
    mean = {
        name: sum(one[name] for one in counted) / len(counted)
        for name in ("units_per_second", "data_wait", "flops_utilisation")
    }
    where = torch.cuda.get_device_name(0) if device.type == "cuda" else f"CPU, {threads} thread(s)"
    print(
        f"{config} on {where}: {mean['units_per_second']:,.0f} tokens/s, waits for data "
        f"{mean['data_wait']:.2%} of the time, {mean['flops_utilisation']:.1%} of peak "
        f"({len(counted)} lines of {LOG_STEPS} steps; {elapsed:.0f} s in all)"
    )


if __name__ == "__main__":
    typer.run(main)
