"""A field that is none gets a suggestion, in files and in `--set`, of configs and of recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavemill.jobs.cli import app
from wavemill.pipeline.config import ConfigError, load_config
from wavemill.pipeline.curation import Config
from wavemill.pipeline.recipes import TRAININGS, recipe_for
from wavemill.pipeline.suggestions import field_names


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("diarise.max_segment_ms=1", "diarize"),
        ("diarize.max_segments_ms=1", "diarize.max_segment_ms"),
        ("max_segment_ms=1", "diarize.max_segment_ms"),
        ("execution.worker=1", "execution.workers"),
    ],
)
def test_of_a_config(wrong: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"no such field; did you mean [^?]*\b{meant}\b"):
        load_config(Config, overrides=[wrong])
    path, value = wrong.split("=")
    section, _, name = path.rpartition(".")
    text = f"{section}:\n  {name}: {value}\n" if section else f"{name}: {value}\n"
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"did you mean [^?]*\b{meant}\b"):
        load_config(Config, file=tmp_path / "c.yaml")


def test_nothing_like_it_is_no_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no such field$"):
        load_config(Config, overrides=["qqqqq=1"])


def test_of_a_recipe() -> None:
    with pytest.raises(ConfigError, match=r"did you mean loop\.optimizer\.learning_rate\b"):
        recipe_for("sft", "tiny", ["loop.optimizer.learning_rat=1"])
    with pytest.raises(ConfigError, match=r"did you mean flow\.epochs\?"):
        recipe_for("detokenizer", "tiny", ["flow.epoch=1"])


@pytest.mark.parametrize("training", TRAININGS)
def test_every_field_of_a_recipe_is_listed(training: str) -> None:
    result = CliRunner().invoke(app, ["config", "recipe", training, "--config", "small"])
    assert result.exit_code == 0, result.output
    names = set(field_names(type(recipe_for(training))))
    missing = [name for name in names if f"{name.rsplit('.', 1)[-1]}:" not in result.output]
    # Fields of a section that is not there (null, or an empty list) are not shown.
    absent = ("augment", "lora", "datasets")
    assert all(name.split(".")[0] in absent for name in missing), missing
