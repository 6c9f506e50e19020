"""wavemill train, from a corpus to a model that answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from tests.model.data.made import conversation_row, sound, write
from wavemill.jobs.cli import app
from wavemill.model.assistant import Assistant
from wavemill.model.tokenizer.kmeans import KMeansTokenizer
from wavemill.pipeline.config import ConfigError
from wavemill.stages.tokenize.codebook import SHIPPED, codebook_identity, load_codebook

SMALL = ["network.llm.hidden_size=32", "network.llm.intermediate_size=64",
         "network.llm.num_attention_heads=2", "network.acoustic.d_model=16",
         "network.acoustic.encoder_ffn_dim=32", "data.positions=256",
         "loop.micro_batches=2", "loop.checkpoint.steps=2"]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of conversations; two of them are held out."""
    rows = [conversation_row(i, split="validation" if i < 2 else "train") for i in range(12)]
    told = {
        "semantic_tokenizer": f"kmeans {codebook_identity(SHIPPED)}",
        "semantic_vocab_size": "2048",
    }
    return write(tmp_path_factory.mktemp("work"), "sft", [rows[:6], rows[6:]], metadata=told)


def train(corpus: Path, run: Path, *options: str, small: bool = True) -> str:
    fields = [part for field in (SMALL if small else []) for part in ("--set", field)]
    told = ["train", "sft", "--corpus", str(corpus), "--out", str(run), *fields, *options]
    result = CliRunner().invoke(app, told, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def test_a_model_comes_out_that_hears_and_answers(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    printed = train(corpus, run, "--executor", "inline", "--set", "epochs=4")
    assert f"the model is in {run / 'model'}" in printed
    (last,) = records(run, "train")[-1:]
    assert {"loss/text", "loss/asr/text", "units_per_second", "data_wait", "learning_rate",
            "flops_utilisation", "gradient_norm/main"} <= last.keys()  # fmt: skip
    assert records(run, "held_out")[-1]["loss/text"] > 0
    assert {one["name"] for one in records(run, "example")} == {"s0", "s1"}
    assert list((run / "tensorboard").iterdir())
    assistant = Assistant.from_pretrained(run / "model", speaks=False)
    assert isinstance(assistant.semantic, KMeansTokenizer)
    audio = tmp_path / "a.flac"
    audio.write_bytes(sound(1, 5)[0])
    wave, _ = soundfile.read(audio, dtype="float32")
    assert assistant.semantic.encode([wave])[0].shape == (5,)
    said = CliRunner().invoke(
        app, ["generate", str(run / "model"), "--audio", str(audio), "--max-new-tokens", "4"],
        catch_exceptions=False,
    )  # fmt: skip
    assert said.exit_code == 0


def test_a_model_without_speech_is_looked_into(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(corpus, run, "--executor", "inline", "--set", "tokens=300")
    shown = CliRunner().invoke(app, ["model", "inspect", str(run / "model")])
    assert f"{2048 * 320:,}" in shown.output  # the codebook
    assert "semantic tokenizer:" not in shown.output  # no problem with it
    assert shown.exit_code == 0  # that it has no detokenizer is no problem
    assert "there is no such folder" not in shown.output


def test_two_workers_on_ray_end_where_a_killed_and_repeated_inline_run_does(
    corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray.train")
    from safetensors.torch import load_file

    one, two = tmp_path / "one", tmp_path / "two"
    fields = ("--set", "epochs=4", "--set", "data.window_mb=0.02", "--set", "data.streams=2")
    train(corpus, one, "--executor", "inline", *fields, "--set", "loop.stop_after_steps=3")
    assert not (one / "model").exists()
    train(corpus, one, "--executor", "inline", *fields)
    train(corpus, two, "--workers", "2", *fields)
    alone, both = (load_file(run / "model" / "model.safetensors") for run in (one, two))
    for name, tensor in alone.items():
        assert (tensor - both[name]).abs().max() < 2e-3, name


def test_the_codebook_is_kept_as_it_is(tmp_path: Path) -> None:
    made = KMeansTokenizer(load_codebook(SHIPPED), "kmeans x")
    made.save_pretrained(tmp_path)
    read = KMeansTokenizer.from_pretrained(tmp_path)
    assert (read.codebook.centroids == made.codebook.centroids).all()
    assert read.identity == "kmeans x"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "huge"], "there is no recipe 'huge'"),
        (["--set", "loop.learning_rate=1"], "there is no such field"),
        (["--executor", "inline", "--workers", "2"], "one worker in this process"),
        (["--workers", "3"], "cannot be shared by 3 workers"),
        (["--init", "nowhere"], "--init: there is no folder /.*nowhere"),
    ],
)
def test_what_cannot_be_is_told_before_any_work(
    corpus: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(corpus, tmp_path / "run", *options)


def test_a_corpus_of_an_unknown_codebook_needs_it(tmp_path: Path) -> None:
    place = write(tmp_path, "sft", [[conversation_row(0)]])
    with pytest.raises(ConfigError, match=r"--semantic CODEBOOK\.npz"):
        train(place, tmp_path / "run")
    with pytest.raises(ConfigError, match="has no corpus 'sft'"):
        train(tmp_path / "nothing", tmp_path / "run")
