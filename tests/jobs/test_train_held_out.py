"""A training that has nothing to evaluate on says so, and what would mend it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.jobs.test_train import SMALL
from tests.model.data.made import conversation_row, segment_row, write
from wavemill.jobs.cli import app
from wavemill.stages.tokenize.codebook import SHIPPED, codebook_identity

SPLITS = ["test", "train", "train", None]
SHORT = ("hours=0.0002", "clips.batch_s=0.5", "loop.evaluation.batches=1")
DETOKENIZER = ("detokenizer", "--stage", "flow")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows to learn and one of `test`, whose speaker is not among the others."""
    told = {
        "semantic_tokenizer": f"kmeans {codebook_identity(SHIPPED)}",
        "semantic_vocab_size": "2048",
    }
    place = tmp_path_factory.mktemp("work")
    write(place, "sft", [[conversation_row(i, split=s) for i, s in enumerate(SPLITS)]], 4, told)
    segments = [
        segment_row(i, 0, split=s, speaker="one" if s is None else "two")
        for i, s in enumerate(SPLITS)
    ]
    return write(place, "pretrain", [segments], 4, told)


def train(corpus: Path, run: Path, command: tuple[str, ...], fields: list[str]) -> str:
    told = ["train", *command, "--corpus", str(corpus), "--out", str(run), "--executor", "inline"]
    options = [part for field in fields for part in ("--set", field)]
    result = CliRunner().invoke(app, [*told, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stderr


def kinds(run: Path) -> list[str]:
    return [
        json.loads(line)["kind"]
        for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.parametrize(
    ("command", "fields", "field"),
    [
        (("sft",), [*SMALL, "tokens=40"], "data.held_out_split"),
        (("pretrain",), [*SMALL, "tokens=40"], "data.held_out_split"),
        (("tokenizer",), [*SHORT], "held_out_split"),
        (DETOKENIZER, [f"flow.{one}" for one in SHORT], "flow.held_out_split"),
    ],
)
def test_the_remedy_is_told_once_and_helps(
    corpus: Path, tmp_path: Path, command: tuple[str, ...], fields: list[str], field: str
) -> None:
    told = train(corpus, tmp_path / "without", command, fields)
    (line,) = [line for line in told.splitlines() if "held out" in line]
    assert told.startswith("nothing is held out: ")
    assert "in split 'validation' (splits there: test, train, rows without a split)" in line
    assert line.endswith(f"remedy: --set {field}=test")
    assert {"held_out", "example"}.isdisjoint(kinds(tmp_path / "without"))
    told = train(corpus, tmp_path / "with", command, [*fields, f"{field}=test"])
    assert "nothing is held out" not in told
    assert "held_out" in kinds(tmp_path / "with")


def test_nothing_is_told_where_nothing_was_to_be_evaluated(corpus: Path, tmp_path: Path) -> None:
    off = ["loop.evaluation.batches=0", "loop.evaluation.examples=0"]
    assert "held out" not in train(corpus, tmp_path, ("sft",), [*SMALL, "tokens=40", *off])


def test_a_speaker_who_is_nowhere_else(corpus: Path, tmp_path: Path) -> None:
    fields = [f"flow.{one}" for one in SHORT]
    told = train(corpus, tmp_path, (*DETOKENIZER, "--speaker", "one"), fields)
    assert "has no usable row of speaker 'one' in split 'validation'" in told
    assert "(splits there: rows without a split)" in told
    assert "remedy: a manifest that gives some of them the split 'validation'" in told
